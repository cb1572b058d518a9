"""What the stages store: confidences, answers, training steps, and the manifest that makes any of it readable."""

from typing import Literal

from pydantic import Field

from evolution_api.closed import Record
from evolution_api.kinds import AnswerType, Kind, Label, StageName
from evolution_api.summaries import AnySummary

LAYOUT_VERSION: Literal[2] = 2
"""Of what lies below a run's prefix; another version is told apart, and never read."""


class ProbeResult(Record):
    """The solver's confidence in the true answer of one question."""

    question: str
    scene: str
    kind: Kind
    level: int
    confidence: float = Field(ge=0, le=1)
    """p = exp(mean log-probability of the answer's tokens), teacher-forced, given the scene's own frames."""
    confidence_elsewhere: float | None = Field(default=None, ge=0, le=1)
    """The same p with another scene's frames; None unless the rule is `seeing`."""
    label: Label


class Answered(Record):
    """One held-out question as the checkpoint answered it."""

    question: str
    scene: str
    kind: Kind
    answer_type: AnswerType
    truth: str
    said: str
    said_elsewhere: str
    """The answer with another scene's frames."""
    score: float = Field(ge=0, le=1)
    score_elsewhere: float = Field(ge=0, le=1)
    score_blind: float = Field(ge=0, le=1)
    """Score of the blind prior of the kind (see evolution_jobs.questions.blind)."""


class TrainStep(Record):
    """One line of `metrics.jsonl`: no clock in it, so that a run that was killed and resumed writes the same bytes."""

    step: int
    """Global step over all rounds, from 1."""
    round: int
    loss: float
    """Mean negative log-likelihood over the answer tokens of the global batch, nats."""
    learning_rate: float
    gradient_norm: float
    questions: tuple[str, ...]
    """Ids of the global batch, in order."""


class StoredFile(Record):
    path: str
    """Key relative to the run's prefix."""
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Record):
    """Written last; what no manifest names does not exist."""

    version: Literal[2] = LAYOUT_VERSION
    run_uid: str
    stage: StageName
    round: int = Field(ge=0)
    shard: int | None = None
    """None for a stage that is not sharded."""
    files: tuple[StoredFile, ...]
    summary: AnySummary
