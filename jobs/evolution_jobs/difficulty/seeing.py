"""The rule that takes chance and prior out: a guess is not a frontier.

Called by `rule.py`. What a model knows without looking is its confidence with another scene's frames (its prior), and never less
than chance. What looking adds is measured against the room that is left above that:

    base   = max(p_elsewhere, chance)
    seen   = (p - base) / (1 - base)        1: looking settles it; 0: looking adds nothing; below 0: it misleads

The thresholds keep their meaning. Easy is p > easyAbove, as in the paper: there is little left to learn, wherever it was learnt.
Hard is seen < hardBelow: looking adds less than that share of what it could; where base is 0 that is the paper's p < hardBelow.
Frontier is between: looking already adds something and p is not yet high. A two-way guess (p = base = 0.5) is hard.
"""

from evolution_api.kinds import Label


def seen(p: float, p_elsewhere: float, chance: float) -> float:
    """Share of the room above what is known without looking that looking fills; all arguments in [0, 1].

    0 where there is no room: a question that is certain without looking has nothing to see.
    """
    base = max(p_elsewhere, chance)
    if base >= 1:
        return 0.0
    return (p - base) / (1 - base)


def label(p: float, p_elsewhere: float, chance: float, easy_above: float, hard_below: float) -> Label:
    if p > easy_above:
        return "easy"
    gained = seen(p, p_elsewhere, chance)
    if gained <= 0 or gained < hard_below:
        return "hard"
    return "frontier"
