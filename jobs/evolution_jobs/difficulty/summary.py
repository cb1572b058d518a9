"""What labelled questions come to in sum. Called by the probe, and by training where the signal is its own pass."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from evolution_api.kinds import KINDS, LABELS
from evolution_api.results import ProbeResult
from evolution_api.summaries import ProbeSummary


def summarised(results: Sequence[ProbeResult], *, unreadable: int = 0, missing_shard: bool = False) -> ProbeSummary:
    labels = Counter(result.label for result in results)
    cells = Counter((result.kind, result.label) for result in results)
    elsewhere = [r.confidence_elsewhere for r in results if r.confidence_elsewhere is not None]
    return ProbeSummary(
        probed=len(results),
        labels={label: labels[label] for label in LABELS},
        labels_by_kind={
            kind: {label: cells[kind, label] for label in LABELS if cells[kind, label]}
            for kind in KINDS
            if any(cells[kind, label] for label in LABELS)
        },
        mean_confidence=fmean(r.confidence for r in results) if results else None,
        mean_confidence_elsewhere=fmean(elsewhere) if elsewhere else None,
        unreadable=unreadable,
        missing_shard=missing_shard,
    )
