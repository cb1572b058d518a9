"""Whether a run ends early: the held-out figure has not risen for `patience` evaluations."""

from collections.abc import Sequence

from evolution_api.run.evaluation import Evaluation
from evolution_api.run.status import RoundStatus


def stopped_early(evaluation: Evaluation, rounds: Sequence[RoundStatus]) -> str | None:
    """Why the run ends after the last of `rounds`, in words; None where it goes on.

    Evaluations that reported no figure are passed over. An equal figure is no new best.
    """
    stop, metric = evaluation.stop, evaluation.metric
    best = best_of(metric, rounds)
    if stop is None or best is None:
        return None
    since = sum(record.round > best.round and metric in record.figures for record in rounds)
    if since < stop.patience:
        return None
    return (
        f"{metric} has not risen above round {best.round}'s {best.figures[metric].mean:.3f} for {since} evaluations "
        f"(evaluation.stop.patience {stop.patience}); raise the patience or remove evaluation.stop to go on"
    )


def best_of(metric: str, rounds: Sequence[RoundStatus]) -> RoundStatus | None:
    """The earliest of the rounds with the highest figure of that name; None where none was measured."""
    measured = [record for record in rounds if metric in record.figures]
    return max(measured, key=lambda record: (record.figures[metric].mean, -record.round), default=None)
