"""The proposer that needs no model: it draws a kind and a level from a mix, and the kind's own module words the question.

Called by `generate.py`. With feedback the mix follows last round's labels (`feedback.py`); without it is the static baseline.
"""

import random
from collections.abc import Mapping, Sequence

from evolution_api.kinds import Kind
from evolution_api.question import Question
from evolution_jobs.proposers.feedback import Cell, static_mix, steered_mix
from evolution_jobs.proposers.proposer import SceneTask
from evolution_jobs.questions.kinds import kind as kind_module

TRIES_PER_CELL = 8
"""A cell that failed so often in a scene (asked before, rejected) is spent there for this round; one that has nothing to ask, at
once."""


class GrammarProposer:
    name = "grammar"
    scenes_at_once = 1

    def __init__(self, kinds: Sequence[Kind], *, feedback: bool) -> None:
        self.cells: list[Cell] = [(kind, level) for kind in kinds for level in range(kind_module(kind).LEVELS)]
        self.feedback = feedback

    async def ask(self, task: SceneTask) -> None:
        """Ends when enough is accepted or every cell is spent: at most `wanted + TRIES_PER_CELL x cells` proposals."""
        mix = steered_mix(self.cells, task.shard, task.labels) if self.feedback else static_mix(self.cells)
        planned = spread(mix, task.wanted, task.rng)
        tries_left = dict.fromkeys(mix, TRIES_PER_CELL)
        while task.missing > 0 and tries_left:
            cell = planned.pop() if planned else draw({c: mix[c] for c in tries_left}, task.rng)
            fill(task, cell, tries_left)

    def usage(self) -> None:
        return None

    def prompts(self) -> dict[str, str]:
        return {}


def fill(task: SceneTask, cell: Cell, tries_left: dict[Cell, int]) -> None:
    """Ask one question of `cell`; where it is spent, of the nearest level of the same kind, so that the kinds keep their shares.

    Takes spent cells out of `tries_left`; ends with nothing asked where the whole kind is spent.
    """
    kind, level = cell
    while open_levels := [open_ for of_kind, open_ in tries_left if of_kind == kind]:
        nearest = min(open_levels, key=lambda open_: (abs(open_ - level), open_))
        proposal = kind_module(kind).propose(task.scene, nearest, task.rng)
        if proposal is None:
            del tries_left[kind, nearest]
            continue
        if not task.asked_before(proposal) and isinstance(task.submit(proposal), Question):
            return
        tries_left[kind, nearest] -= 1
        if tries_left[kind, nearest] == 0:
            del tries_left[kind, nearest]


def draw(mix: Mapping[Cell, float], rng: random.Random) -> Cell:
    return rng.choices(list(mix), weights=list(mix.values()))[0]


def spread(mix: Mapping[Cell, float], n: int, rng: random.Random) -> list[Cell]:
    """`n` draws from `mix` (shares that sum to 1) in random order, as even as chance allows.

    Systematic sampling: n equally spaced points, with one random offset, on the line of cumulated shares. A cell with share s is
    drawn floor(n s) or ceil(n s) times, n s on average, where independent draws would leave a scene lopsided.
    """
    offset = rng.random()
    drawn: list[Cell] = []
    reached = 0.0
    for cell, share in mix.items():
        reached += share * n
        while len(drawn) + offset < reached and len(drawn) < n:
            drawn.append(cell)
    rng.shuffle(drawn)
    return drawn
