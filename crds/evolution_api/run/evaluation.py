"""`spec.evaluation`: how a checkpoint is scored, and when the run ends early."""

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.run.pod import PodTemplate
from evolution_api.run.rules import IMMUTABLE


class Heldout(Resource):
    """The fixed questions that no round trains on."""

    scenes: int = Field(default=50, ge=2, le=10_000, json_schema_extra=IMMUTABLE)
    """Scenes kept from training; at least 2, for the seeing score shows every question another one's frames."""
    questions_per_kind: int = Field(default=100, ge=1, le=10_000, json_schema_extra=IMMUTABLE)
    """Questions of each kind asked of them, the same in every round; a kind that the scenes cannot fill says so."""


class Stop(Resource):
    patience: int = Field(default=2, ge=1, le=100)
    """Evaluations without a new best after which the run ends early."""


class Evaluation(Resource):
    """How a checkpoint is scored, and when the run ends early."""

    every: int = Field(default=1, ge=1, le=100)
    """Evaluate every n-th round; the base model and the last round always are."""
    heldout: Heldout = Heldout()
    metric: str = Field(default="seeing", pattern=r"^(score|seeing)(\.[a-z_]+)?$", max_length=48)
    """Held-out figure that the best round and the early end go by: score or seeing, over all kinds, or of one (seeing.<kind>)."""
    stop: Stop | None = None
    """End early; None means all rounds."""
    pod: PodTemplate = PodTemplate()
