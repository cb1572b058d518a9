"""The paper's rule (Ouroboros-Spatial, arXiv 2606.11719): the confidence alone says how hard a question is.

Called by `rule.py`. It knows nothing of guesses: a two-way question at p = 0.5 is frontier to it, whatever the model sees.
"""

from evolution_api.kinds import Label


def label(p: float, easy_above: float, hard_below: float) -> Label:
    """Easy above `easy_above`, hard below `hard_below`, frontier between; the thresholds themselves are frontier."""
    if p > easy_above:
        return "easy"
    if p < hard_below:
        return "hard"
    return "frontier"
