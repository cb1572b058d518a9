"""How last round's labels steer what the grammar asks next. Pure: counts in, weights out.

A cell is a kind at a level. Its weight is its share in the static mix times the chance that a question asked there is frontier,
estimated in two steps of the same shrinkage (`rate`):

1. over the shard: frontier labels of the cell over all its labels. A cell with few labels leans on its neighbours in the kind:
   where the level below was easy or the level above was hard, this level may be frontier (so a kind that has become easy climbs,
   and one that is too hard comes down); without such a neighbour it leans on the frontier share of the whole shard.
2. in the scene: the same with the scene's own labels, leaning on step 1.

Of the mix, a share FLOOR always stays static, so that no cell is starved and each is measured again next round.

It acts on labels alone and does not ask how they came about: whether a guess counts as frontier is the business of the
difficulty rule. A cell that never gains is `hard` under the rule `seeing`, and so falls to its floor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evolution_api.kinds import Kind, Label

Cell = tuple[Kind, int]
"""Kind and level."""

LEAN = 4.0
"""Labels that a prior is worth: a cell with as many labels of its own is half its own, half the prior."""
FLOOR = 0.25
"""Share of the mix that stays static; every cell gets at least this share of what the static baseline gives it."""


@dataclass(frozen=True)
class Tally:
    """Labels of a cell."""

    easy: int = 0
    frontier: int = 0
    hard: int = 0

    @property
    def total(self) -> int:
        return self.easy + self.frontier + self.hard


def tally(labelled: Iterable[tuple[Cell, Label]]) -> dict[Cell, Tally]:
    counts: dict[Cell, dict[Label, int]] = {}
    for cell, label in labelled:
        of_cell = counts.setdefault(cell, {"easy": 0, "frontier": 0, "hard": 0})
        of_cell[label] += 1
    return {cell: Tally(**n) for cell, n in counts.items()}


def rate(hits: float, total: float, prior: float) -> float:
    """`hits` of `total`, shrunk towards `prior` as if it were LEAN further observations."""
    return (hits + LEAN * prior) / (total + LEAN)


def static_mix(cells: Sequence[Cell]) -> dict[Cell, float]:
    """Uniform over kinds, and within a kind over its levels; sums to 1."""
    levels: dict[Kind, int] = {}
    for kind, _ in cells:
        levels[kind] = levels.get(kind, 0) + 1
    return {(kind, level): 1 / (len(levels) * levels[kind]) for kind, level in cells}


def shard_rates(cells: Sequence[Cell], shard: Mapping[Cell, Tally]) -> dict[Cell, float]:
    """Step 1: each cell's chance of frontier over the shard, in (0, 1)."""
    everything = sum(t.total for t in shard.values())
    overall = rate(sum(t.frontier for t in shard.values()), everything, 1 / 3)

    def of(cell: Cell) -> Tally:
        return shard.get(cell, Tally())

    def prior(cell: Cell) -> float:
        below, above = of((cell[0], cell[1] - 1)), of((cell[0], cell[1] + 1))
        hint = max(rate(below.easy, below.total, 0), rate(above.hard, above.total, 0))
        return overall + (1 - overall) * hint

    return {cell: rate(of(cell).frontier, of(cell).total, prior(cell)) for cell in cells}


def steered_mix(cells: Sequence[Cell], shard: Mapping[Cell, Tally], scene: Mapping[Cell, Tally]) -> dict[Cell, float]:
    """The mix to ask one scene for: cell -> share, sums to 1. Without any label it is the static mix."""
    static = static_mix(cells)
    rates = shard_rates(cells, shard)
    for cell in cells:
        seen = scene.get(cell, Tally())
        rates[cell] = rate(seen.frontier, seen.total, rates[cell])
    weights = {cell: static[cell] * rates[cell] for cell in cells}
    whole = sum(weights.values())
    return {cell: FLOOR * static[cell] + (1 - FLOOR) * weights[cell] / whole for cell in cells}
