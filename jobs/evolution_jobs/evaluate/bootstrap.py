"""95 % intervals of held-out figures by resampling whole scenes. Pure; called by `metrics`.

Scenes are resampled, not questions: the questions of a scene share its frames, so a scene that the solver misreads
costs several of them at once. Questions taken one by one would count that as independent evidence and give intervals
that are too narrow. The held-out scenes are the draw that another run would make differently, and the interval speaks
of that.

A figure is a ratio of sums over scenes (score summed / questions counted), and a resample only weighs the scenes: all
resamples are one matrix product. The same weights serve every figure, so that differences (seeing) stay paired.

Legend: R resamples, S scenes, K kinds. B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 and 13.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolution_api.figures import Figure

Floats = NDArray[np.float64]

RESAMPLES = 4000
"""The 2.5 % tail then rests on 100 resamples; a millisecond each hundred."""
LEVEL_PERCENT = 95.0


def resample(scenes: int, seed: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """How often each resample drew each scene, (R, S); every row sums to S. The same seed gives the same weights."""
    return np.random.default_rng(seed).multinomial(scenes, np.full(scenes, 1 / scenes), size=resamples)


def kind_means(weights: NDArray[Any], sums: Floats, counts: Floats) -> Floats:
    """Mean score of each kind in each resample, (R, K); NaN where a resample drew no scene with that kind.

    `sums` and `counts` (K, S): summed score and number of questions per kind and scene; `weights` (R, S).
    """
    total = weights @ counts.T
    means: Floats = np.divide(weights @ sums.T, total, out=np.full(total.shape, np.nan), where=total > 0)
    return means


def macro_means(means: Floats) -> Floats:
    """(R, K) -> (R,): unweighted mean over the kinds that a resample has; every resample has at least one."""
    present = ~np.isnan(means)
    mean: Floats = np.where(present, means, 0.0).sum(axis=1) / present.sum(axis=1)
    return mean


def estimate(mean: float, resampled: Floats, questions: int) -> Figure:
    """`mean` of the sample itself, over `questions`, with the percentile interval of `resampled` (R,).

    Resamples without a value are left out.
    """
    tail = (100 - LEVEL_PERCENT) / 2
    low, high = np.nanpercentile(resampled, [tail, 100 - tail])
    return Figure(mean=float(mean), low=float(low), high=float(high), questions=questions)
