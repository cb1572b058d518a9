"""`spec.difficulty` and `spec.probe`: what is easy, frontier or hard, and how the solver is asked."""

from typing import Literal

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.run.pod import PodTemplate
from evolution_api.run.rules import IMMUTABLE, Rule, Ruled


class Difficulty(Ruled):
    """What makes a question easy, frontier or hard for the solver."""

    signal: Literal["probe", "training"] = Field(default="probe", json_schema_extra=IMMUTABLE)
    """`probe` asks a model server before training; `training` reads the confidence from the training pass itself."""
    rule: Literal["paper", "seeing"] = Field(default="paper", json_schema_extra=IMMUTABLE)
    """`paper` labels by p alone; `seeing` also asks with another scene's frames and takes chance and prior out."""
    easy_above: float = Field(default=0.9, gt=0, le=1, json_schema_extra=IMMUTABLE)
    """Confidence above which a question is easy."""
    hard_below: float = Field(default=0.1, ge=0, lt=1, json_schema_extra=IMMUTABLE)
    """Confidence below which a question is hard."""

    rules = (
        Rule(
            "self.hardBelow < self.easyAbove",
            lambda s: s.hard_below < s.easy_above,
            "difficulty.hardBelow must be below difficulty.easyAbove, or nothing is frontier; the paper uses 0.1 and 0.9",
        ),
        Rule(
            "!(self.signal == 'training' && self.rule == 'seeing')",
            lambda s: not (s.signal == "training" and s.rule == "seeing"),
            "difficulty.rule seeing asks every question a second time with other frames, which training does not do; "
            "use signal: probe, or rule: paper",
        ),
    )


class Probe(Resource):
    """How the solver is asked for its confidence before training."""

    replicas: int = Field(default=1, ge=1, le=64)
    """Replicas of the solver's InferenceService."""
    parallelism: int = Field(default=4, ge=1, le=1000)
    """Probe pods that ask at once, one shard each."""
    timeout_seconds: int = Field(default=600, ge=1, le=86_400)
    """Longest wait for the model server to become ready, for what asks it to run, and for one of its answers; an attempt that
    waits longer has failed, and its server is deleted."""
    pod: PodTemplate = PodTemplate()
    """The model server's pods."""
