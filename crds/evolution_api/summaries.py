"""What one pod of a stage did, a type for each way of working. It stands in the pod's manifest and in its last words.

A summary knows how those of a stage's pods are taken together, which fields of the round's record they become, and how that is
told. Pods may be broken or hostile: no count is believed beyond MOST, and names are those of the contract.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field

from evolution_api.closed import Record
from evolution_api.figures import MOST_IN_STATUS, Figure, FigureName, rounded
from evolution_api.kinds import LABELS, Kind, Label, Reason

MOST = 2**53
"""Beyond this no count is believed (and JSON numbers are no longer exact)."""
DECIMALS = 4
"""Of the figures in the status, which people read in columns; the exact ones lie in storage."""

Count = Annotated[int, Field(ge=0, le=MOST)]
Name = TypeVar("Name", bound=str)


class Summary(Record):
    """What is the same for all."""

    @classmethod
    def together(cls, summaries: Sequence[Self]) -> Self:
        """Of all pods of the stage, at least one; a stage that is not split has one."""
        return summaries[0]

    def in_round(self) -> dict[str, Any]:
        """Fields of its round's RoundStatus, as they follow from it."""
        return {}

    def told(self) -> str:
        """What the stage brought, in words; empty where there is nothing to tell."""
        return ""


class PrepareSummary(Summary):
    type: Literal["prepare"] = "prepare"
    train: Count
    """Scenes to train on."""
    heldout: Count
    """Scenes kept for the evaluation."""
    skipped: Count
    """Scenes that cannot be used; the scene plan has the reasons."""
    benchmark: Count
    """Scenes trained on that a benchmark validates with."""
    questions: dict[Kind, Count]
    """Held-out questions."""


class ProposerUsage(Record):
    """What a model that proposes used up."""

    calls: Count
    calls_retried: Count
    calls_failed: Count
    tokens_in: Count
    tokens_out: Count
    scenes_over_budget: Count
    """Scenes that were ended by the token budget."""
    verdicts_missing: Count
    """Questions that the second look said nothing readable about."""


class GenerateSummary(Summary):
    type: Literal["generate"] = "generate"
    scenes: Count
    """Scenes that were asked."""
    skipped_scenes: Count = 0
    """Scenes that are unreadable, or that the proposer failed on."""
    proposed: Count
    executed: Count
    """Proposals whose program returned an answer."""
    accepted: Count
    rejected: dict[Reason, Count] = {}
    kinds: dict[Kind, Count] = {}
    """Accepted questions by kind."""
    proposer: ProposerUsage | None = None
    """None for the grammar."""

    @classmethod
    def together(cls, summaries: Sequence[Self]) -> Self:
        counts = ("scenes", "skipped_scenes", "proposed", "executed", "accepted")
        return cls(
            **{name: total(getattr(s, name) for s in summaries) for name in counts},
            rejected=totals(s.rejected for s in summaries),
            kinds=totals(s.kinds for s in summaries),
        )

    def in_round(self) -> dict[str, Any]:
        rejected = {reason: count for reason, count in self.rejected.items() if count}
        return {**self.model_dump(include={"proposed", "executed", "accepted"}), "rejected": rejected}

    def told(self) -> str:
        return f"{self.accepted} of {self.proposed} proposals accepted"


class ProbeSummary(Summary):
    type: Literal["probe"] = "probe"
    probed: Count
    labels: dict[Label, Count]
    labels_by_kind: dict[Kind, dict[Label, Count]] = {}
    mean_confidence: float | None = Field(default=None, ge=0, le=1)
    """None where nothing was probed."""
    mean_confidence_elsewhere: float | None = Field(default=None, ge=0, le=1)
    """Before another scene's frames; None unless the rule is `seeing`."""
    unreadable: Count = 0
    """Questions left out, since the frames of their scene cannot be read."""
    missing_shard: bool = False
    """The shard failed for good when it was generated, and there is nothing to probe."""

    @classmethod
    def together(cls, summaries: Sequence[Self]) -> Self:
        said = [(s.mean_confidence, s.probed) for s in summaries if s.mean_confidence is not None]
        probed = sum(weight for _, weight in said)
        return cls(
            probed=total(s.probed for s in summaries),
            labels=totals(s.labels for s in summaries),
            mean_confidence=sum(mean * weight for mean, weight in said) / probed if probed else None,
        )

    def in_round(self) -> dict[str, Any]:
        return labelled(self.labels, self.mean_confidence)

    def told(self) -> str:
        return ", ".join(f"{self.labels.get(label, 0)} {label}" for label in LABELS)


class StateLayout(Record):
    """What a training state can only be read back with: it is split over the processes in the way of its ZeRO stage."""

    processes: Count
    zero_stage: Count


class StateSummary(Summary):
    """Of a training state in the middle of a round."""

    type: Literal["state"] = "state"
    step: Count
    """Within the round."""
    layout: StateLayout


class TrainSummary(Summary):
    type: Literal["train"] = "train"
    steps: Count
    questions: Count
    """Presented, over all steps."""
    passes: Count
    """Over the selected questions, the last one perhaps cut short."""
    selected: Count
    """Questions that were to be trained on."""
    tokens: Count
    """Of answers, end tokens included."""
    layout: StateLayout
    train_loss: float
    """Mean over the steps, nats per answer token."""
    labels: dict[Label, Count] = {}
    """With `difficulty.signal: training`, where it is the training pass that labels."""
    mean_confidence: float | None = Field(default=None, ge=0, le=1)
    """With `difficulty.signal: training`."""

    def in_round(self) -> dict[str, Any]:
        return {
            **(labelled(self.labels, self.mean_confidence) if any(self.labels.values()) else {}),
            "train_loss": round(self.train_loss, DECIMALS),
        }

    def told(self) -> str:
        return f"loss {round(self.train_loss, DECIMALS)}"


class ScoreSummary(Summary):
    """Of a stage that scores a checkpoint."""

    type: Literal["score"] = "score"
    questions: dict[Kind, Count]
    """Questions asked."""
    missing: dict[Kind, Count] = {}
    """Questions wanted, but not to be had of the scenes."""
    figures: dict[FigureName, Figure] = Field(max_length=MOST_IN_STATUS)
    """Those that go into the status; all of them lie in the stage's `figures.json`."""

    def in_round(self) -> dict[str, Any]:
        return {"figures": rounded(self.figures, DECIMALS)}

    def told(self) -> str:
        told = rounded({name: self.figures[name] for name in ("score", "seeing") if name in self.figures}, DECIMALS)
        return ", ".join(f"{name} {figure.mean}" for name, figure in told.items())


class CleanupSummary(Summary):
    type: Literal["cleanup"] = "cleanup"
    deleted: Count
    """Objects."""


AnySummary = Annotated[
    PrepareSummary | GenerateSummary | ProbeSummary | StateSummary | TrainSummary | ScoreSummary | CleanupSummary,
    Field(discriminator="type"),
]


def labelled(labels: Mapping[Label, int], mean_confidence: float | None) -> dict[str, Any]:
    """Fields of the round's record."""
    confidence = {} if mean_confidence is None else {"mean_confidence": round(mean_confidence, DECIMALS)}
    return ({label: labels.get(label, 0) for label in LABELS} if any(labels.values()) else {}) | confidence


def total(counts: Iterable[int]) -> int:
    return min(sum(counts), MOST)


def totals(counts: Iterable[Mapping[Name, int]]) -> dict[Name, int]:
    sums: Counter[Name] = Counter()
    for one in counts:
        sums.update(one)
    return {name: min(count, MOST) for name, count in sums.items()}
