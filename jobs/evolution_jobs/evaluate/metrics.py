"""From answered questions to `metrics.json`: per kind and as macro average, with intervals. Pure; called by the program
`evaluate`.

Four figures each: the score, the score with another scene's frames, the score of the blind prior, and seeing = own
minus elsewhere, paired by question; and beside the base model's answers a fifth, gain = seeing minus the base model's,
paired too: the same questions and the same resamples, so that what both find hard does not widen its interval. The macro
average is the unweighted mean over kinds, so that a kind with many questions counts no more than others.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from evolution_api.kinds import KINDS, Kind
from evolution_api.results import Answered, EvaluationMetrics, KindMetrics
from evolution_jobs.evaluate.bootstrap import Floats, estimate, kind_means, macro_means, resample


def measure(rows: Sequence[Answered], checkpoint: str, seed: int, base: Sequence[Answered] = ()) -> EvaluationMetrics:
    """`base` is how the base model answered the same questions; without it there is no gain.

    Raises ValueError where nothing was answered: a score of nothing would read as a score of zero.
    """
    if not rows:
        raise ValueError("no held-out question was answered, so there is nothing to score")
    asked = {row.kind for row in rows}
    kinds = [kind for kind in KINDS if kind in asked]
    scenes = sorted({row.scene for row in rows})
    counts, sums = tabulate(rows, kinds, scenes, base)
    weights = resample(len(scenes), seed)
    # Per figure the kinds' means over all scenes (K,) and in every resample (R, K).
    means = {name: kind_means(np.ones((1, len(scenes))), s, counts)[0] for name, s in sums.items()}
    resampled = {name: kind_means(weights, s, counts) for name, s in sums.items()}
    return EvaluationMetrics(
        checkpoint=checkpoint,
        kinds={
            kind: KindMetrics(
                questions=int(counts[k].sum()), **{name: estimate(means[name][k], resampled[name][:, k]) for name in sums}
            )
            for k, kind in enumerate(kinds)
        },
        macro=KindMetrics(
            questions=len(rows), **{name: estimate(means[name].mean(), macro_means(resampled[name])) for name in sums}
        ),
    )


def tabulate(
    rows: Iterable[Answered], kinds: Sequence[Kind], scenes: Sequence[str], base: Sequence[Answered] = ()
) -> tuple[Floats, dict[str, Floats]]:
    """Questions per kind and scene, (K, S), and per figure their summed scores, (K, S)."""
    counts = np.zeros((len(kinds), len(scenes)))
    figures = ("score", "elsewhere", "blind", "seeing", *(("gain",) if base else ()))
    sums = {name: np.zeros_like(counts) for name in figures}
    seen_by_base = {row.question: row.score - row.score_elsewhere for row in base}
    kind_at = {kind: k for k, kind in enumerate(kinds)}
    scene_at = {scene: s for s, scene in enumerate(scenes)}
    for row in rows:
        cell = kind_at[row.kind], scene_at[row.scene]
        counts[cell] += 1
        sums["score"][cell] += row.score
        sums["elsewhere"][cell] += row.score_elsewhere
        sums["blind"][cell] += row.score_blind
        sums["seeing"][cell] += row.score - row.score_elsewhere
        if base:
            sums["gain"][cell] += row.score - row.score_elsewhere - seen_by_base[row.question]
    return counts, sums


def counts_of(rows: Sequence[Answered], kinds: Iterable[Kind], wanted: int) -> dict[str, int]:
    """questions, questions.<kind>, and missing.<kind> where the held-out scenes gave fewer than `wanted` of a kind."""
    asked = Counter(row.kind for row in rows)
    return {
        "questions": len(rows),
        **{f"questions.{kind}": number for kind, number in asked.items()},
        **{f"missing.{kind}": wanted - asked[kind] for kind in kinds if asked[kind] < wanted},
    }


def measures_of(metrics: EvaluationMetrics) -> dict[str, float]:
    """The macro figures as the planner reads them: score, seeing, blind, elsewhere, gain, each with _low and _high."""
    figures = {name: getattr(metrics.macro, name) for name in ("score", "elsewhere", "blind", "seeing", "gain")}
    return {
        name + suffix: getattr(figure, field)
        for name, figure in figures.items()
        if figure is not None
        for suffix, field in (("", "mean"), ("_low", "low"), ("_high", "high"))
    }
