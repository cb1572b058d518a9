"""Whether a run ends early: the held-out figure has not risen for `patience` evaluations."""

from collections.abc import Sequence

from evolution_api.run.evaluation import Stop
from evolution_api.run.status import RoundStatus


def stopped_early(stop: Stop | None, rounds: Sequence[RoundStatus]) -> str | None:
    """Why the run ends after the last of `rounds`, in words; None where it goes on.

    Evaluations that reported no figure are passed over. An equal figure is no new best.
    """
    if stop is None:
        return None
    figures = [(r.round, r.score if stop.metric == "score" else r.seeing) for r in rounds]
    evaluated = [(round_, figure) for round_, figure in figures if figure is not None]
    if not evaluated:
        return None
    best_round, best = max(evaluated, key=lambda pair: (pair[1], -pair[0]))
    since = sum(round_ > best_round for round_, _ in evaluated)
    if since < stop.patience:
        return None
    return (
        f"{stop.metric} has not risen above round {best_round}'s {best:.3f} for {since} evaluations "
        f"(evaluation.stop.patience {stop.patience}); raise the patience or remove evaluation.stop to go on"
    )
