"""From answered questions to `figures.json`: per kind and as macro average, with intervals. Pure; called by the program
`evaluate`.

Four figures each: the score, the score with another scene's frames, the score of the blind prior, and seeing = own
minus elsewhere, paired by question; and beside the base model's answers a fifth, gain = seeing minus the base model's,
paired too: the same questions and the same resamples, so that what both find hard does not widen its interval. The macro
average is the unweighted mean over kinds, so that a kind with many questions counts no more than others.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from evolution_api.figures import Figures
from evolution_api.kinds import KINDS, Kind
from evolution_api.results import Answered
from evolution_jobs.evaluate.bootstrap import Floats, estimate, kind_means, macro_means, resample


def measure(rows: Sequence[Answered], checkpoint: str, seed: int, base: Sequence[Answered] = ()) -> Figures:
    """`base` is how the base model answered the same questions; without it there is no gain.

    Raises ValueError where nothing was answered: a score of nothing would read as a score of zero.
    """
    if not rows:
        raise ValueError("no held-out question was answered, so there is nothing to score")
    kinds = list(asked(rows))
    scenes = sorted({row.scene for row in rows})
    counts, sums = tabulate(rows, kinds, scenes, base)
    weights = resample(len(scenes), seed)
    # Per figure the kinds' means over all scenes (K,) and in every resample (R, K).
    means = {name: kind_means(np.ones((1, len(scenes))), s, counts)[0] for name, s in sums.items()}
    resampled = {name: kind_means(weights, s, counts) for name, s in sums.items()}
    macro = {name: estimate(means[name].mean(), macro_means(resampled[name]), len(rows)) for name in sums}
    of_kinds = {
        f"{name}.{kind}": estimate(means[name][k], resampled[name][:, k], int(counts[k].sum()))
        for k, kind in enumerate(kinds)
        for name in sums
    }
    return Figures(checkpoint=checkpoint, figures={**macro, **of_kinds})


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


def asked(rows: Sequence[Answered]) -> dict[Kind, int]:
    of_kind = Counter(row.kind for row in rows)
    return {kind: of_kind[kind] for kind in KINDS if of_kind[kind]}


def missing(rows: Sequence[Answered], kinds: Iterable[Kind], wanted: int) -> dict[Kind, int]:
    """Questions of `kinds` by which the held-out scenes fell short of `wanted`."""
    of_kind = asked(rows)
    return {kind: wanted - of_kind.get(kind, 0) for kind in kinds if of_kind.get(kind, 0) < wanted}
