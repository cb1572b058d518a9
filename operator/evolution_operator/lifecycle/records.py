"""A finished stage's summaries become numbers in its round's record.

The keys are those that the programs write: counts `proposed`, `executed`, `accepted`, `rejected.<reason>`, `easy`,
`frontier`, `hard`, `probed`; measures `mean_confidence`, `train_loss`, `score`, `seeing`, `blind`. Other keys are
left alone: they are for the manifests.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from evolution_api.kinds import LABELS, REASONS, StageName
from evolution_api.layout import checkpoint_prefix
from evolution_api.results import StageSummary
from evolution_api.run.status import RoundStatus

MOST = 2**53
"""Beyond this no count is believed (and JSON numbers are no longer exact)."""

DECIMALS = 4
"""Of the figures in the status, which people read in columns; the exact ones stand in the manifests."""


def recorded(record: RoundStatus, stage: StageName, summaries: Sequence[StageSummary], seconds: float) -> RoundStatus:
    """The round's record with what this stage's pods said. A stage that is recorded again replaces its own numbers."""
    update: dict[str, Any] = {"seconds": {**record.seconds, stage: round(max(seconds, 0.0), 1)}}
    if stage == "generate":
        counts = {key: total(summaries, key) for key in ("proposed", "executed", "accepted")}
        rejected = {reason: total(summaries, f"rejected.{reason}") for reason in REASONS}
        update |= counts | {"rejected": {reason: count for reason, count in rejected.items() if count}}
    if stage in ("probe", "train"):
        # With signal: training it is the training pass that labels.
        labels: dict[str, int] = {label: total(summaries, label) for label in LABELS}
        if any(labels.values()):
            update |= labels
        confidence = mean(summaries, "mean_confidence", weight="probed")
        if confidence is not None:
            update["mean_confidence"] = confidence
    if stage == "train":
        update["train_loss"] = mean(summaries, "train_loss")
        update["checkpoint"] = checkpoint_prefix(record.round)
    if stage == "evaluate":
        update |= {key: mean(summaries, key) for key in ("score", "seeing", "blind")}
    return record.model_copy(update=update)


def in_words(record: RoundStatus, stage: StageName) -> str:
    """What the stage brought, as the end of a sentence; empty where there is nothing to tell."""
    if stage == "generate":
        return f": {record.accepted} of {record.proposed} proposals accepted"
    if stage == "probe":
        return f": {record.easy} easy, {record.frontier} frontier, {record.hard} hard"
    if stage == "train" and record.train_loss is not None:
        return f": loss {record.train_loss}"
    if stage == "evaluate" and record.score is not None:
        return f": score {record.score}" + (f", seeing {record.seeing}" if record.seeing is not None else "")
    return ""


def total(summaries: Iterable[StageSummary], key: str) -> int:
    return sum(min(max(summary.counts.get(key, 0), 0), MOST) for summary in summaries)


def mean(summaries: Iterable[StageSummary], key: str, weight: str | None = None) -> float | None:
    """Mean over the shards that measured it, weighted by the count `weight` where they give it."""
    pairs = [(s.measures[key], s.counts.get(weight, 1) if weight else 1) for s in summaries if key in s.measures]
    weights = sum(w for _, w in pairs)
    return round(sum(value * w for value, w in pairs) / weights, DECIMALS) if weights > 0 else None
