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

TRIES_PER_CELL = 4
"""A cell that failed so often in a scene (nothing to ask, or rejected) is not tried there again this round."""


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
        failures = dict.fromkeys(self.cells, 0)
        while task.missing > 0 and mix:
            cell = planned.pop() if planned else task.rng.choices(list(mix), weights=list(mix.values()))[0]
            if cell not in mix:
                continue
            proposal = kind_module(cell[0]).propose(task.scene, cell[1], task.rng)
            if proposal is None or not isinstance(task.submit(proposal), Question):
                failures[cell] += 1
                if failures[cell] == TRIES_PER_CELL:
                    del mix[cell]

    def counts(self) -> dict[str, int]:
        return {}

    def prompts(self) -> dict[str, str]:
        return {}


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
