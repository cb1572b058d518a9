"""`status`: where a run stands, and a record of each round."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.figures import MOST_IN_STATUS, Figure, FigureName
from evolution_api.kinds import Reason, StageName

ConditionType = Literal["Progressing", "Suspended", "Succeeded", "Failed", "Reconciling", "Stalled"]


class Condition(Resource):
    """One aspect of the run's state, as Kubernetes' conditions are."""

    type: ConditionType
    """Progressing, Suspended, Succeeded, Failed; and for kstatus, only while they are True, Reconciling or Stalled."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)
    """Why, in one CamelCase word."""
    message: str = Field(default="", max_length=32_768)
    """Why, in words, and what to do where there is something to do."""
    last_transition_time: datetime
    """When `status` last changed."""
    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec that the condition speaks of."""


class RoundStatus(Resource):
    """One round in numbers. Every count is of committed shards only."""

    round: int = Field(ge=0)
    """0 is the preparation and the base model's evaluation."""
    proposed: int = Field(default=0, ge=0)
    """Proposals written."""
    executed: int = Field(default=0, ge=0)
    """Proposals whose program returned an answer in the sandbox."""
    accepted: int = Field(default=0, ge=0)
    """Questions that passed every filter."""
    rejected: dict[Reason, int] = {}
    """Proposals dropped, by reason."""
    easy: int = Field(default=0, ge=0)
    """Accepted questions labelled easy."""
    frontier: int = Field(default=0, ge=0)
    """Accepted questions labelled frontier."""
    hard: int = Field(default=0, ge=0)
    """Accepted questions labelled hard."""
    mean_confidence: float | None = None
    """Mean confidence in the true answer over the round's questions."""
    train_loss: float | None = None
    """Mean loss over the round's steps, nats per answer token."""
    figures: dict[FigureName, Figure] = Field(default={}, max_length=MOST_IN_STATUS)
    """What was measured of the round's checkpoint on held-out questions, by name: score, elsewhere (score with another scene's
    frames), seeing (score minus elsewhere), blind (the blind prior's score), gain (seeing above the base model's)."""
    checkpoint: str | None = None
    """Key of the checkpoint below the run's storage prefix."""
    seconds: dict[StageName, float] = {}
    """Time that the successful attempt of each stage took, seconds."""
    started: datetime | None = None
    """When the round's first stage was due."""
    finished: datetime | None = None
    """When its last stage had succeeded."""


class Best(Resource):
    """The round with the highest `evaluation.metric`; 0 is the base model."""

    metric: FigureName
    """The figure that it is the best by."""
    value: float
    """Its mean."""
    round: int
    """Its number."""
    checkpoint: str
    """Key of its checkpoint below the run's storage prefix; the model's URI for the base model."""


Phase = Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Deleting"]


class EvolutionRunStatus(Resource):
    observed_generation: int = -1
    """Generation of the spec that this status speaks of; -1 before the operator's first look, so that kstatus waits for it."""
    phase: Phase = "Pending"
    """One word for people; programs read the conditions."""
    round: int = 0
    """Round under way; 0 prepares scenes and evaluates the base model."""
    progress: str = ""
    """Round of rounds, as printed: 2/4."""
    stage: StageName | None = None
    """Stage under way; None before the first and after the last."""
    attempt: int = 1
    """Attempt of the stage, from 1."""
    first_attempt: int = 1
    """Attempt that the present set began with; a resume begins a new set, and retry.limit counts within a set."""
    stage_started: datetime | None = None
    """When this attempt began to run (the wait in a queue not counted)."""
    retry_at: datetime | None = None
    """When the next attempt may start; None unless one is waited for."""
    resumed: str | None = None
    """Value of the resume annotation that was last acted on."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=8)
    """What holds, with reasons in words; programs read these."""
    rounds: tuple[RoundStatus, ...] = Field(default=(), max_length=101)
    """One record a round, from round 0 on."""
    best: Best | None = None
    """Best evaluated round, the earliest of equal ones."""
    accepted: int = 0
    """Accepted questions over all rounds."""
    frontier_percent: int | None = None
    """Share of frontier among the latest probed round's questions, percent."""
    score: float | None = None
    """Latest held-out macro score."""
