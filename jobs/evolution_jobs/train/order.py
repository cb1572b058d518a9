"""The order in which questions are trained on, and which process takes which: a function of the seed, the round and the data.

Called by `loop`. Pure: it knows neither models nor storage. Batches do not depend on the number of processes.
"""

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evolution_api.question import Question

PREFIX_COST = 8
"""What a scene's frames cost to compute, in questions: an estimate by tokens for the tiny model with six frames. Larger frames
cost more, but then the number of slices decides, which any positive value balances."""


@dataclass(frozen=True)
class Slice:
    """Questions of one scene, asked behind one visual prefix."""

    scene: str
    questions: tuple[Question, ...]

    @property
    def cost(self) -> int:
        return PREFIX_COST + len(self.questions)


Batch = tuple[Slice, ...]
"""A global batch: exactly `size` questions in the order of its slices."""


def batches(questions: Sequence[Question], *, seed: int, round_: int, size: int) -> Iterator[Batch]:
    """Endless global batches of exactly `size` questions.

    A pass takes every question once: scenes in a shuffled order, each scene's questions together in a shuffled order. A scene
    that does not fit goes on in the next batch; where the questions end, a further pass with a new order begins. Raises
    ValueError for no questions.
    """
    if not questions:
        raise ValueError("no questions to train on")
    batch: list[Slice] = []
    room = size
    for slice_ in _passes(questions, f"{seed}/{round_}"):
        rest = slice_.questions
        while rest:
            batch.append(Slice(slice_.scene, rest[:room]))
            rest, room = rest[room:], max(room - len(rest), 0)
            if not room:
                yield tuple(batch)
                batch, room = [], size


def passes(questions: int, *, size: int, steps: int) -> int:
    """How many passes over the questions `steps` batches begin."""
    return math.ceil(steps * size / questions)


def spread(batch: Batch, processes: int) -> list[list[Slice]]:
    """Who takes which slices: the costliest first, each to whom it burdens least. Every process gets at least one.

    Where there are fewer slices than processes, the longest are halved; a batch has at least as many questions as there are
    processes.
    """
    slices = list(batch)
    while len(slices) < processes:
        longest = max(range(len(slices)), key=lambda i: len(slices[i].questions))
        whole = slices[longest]
        middle = (len(whole.questions) + 1) // 2
        slices[longest : longest + 1] = [
            Slice(whole.scene, whole.questions[:middle]),
            Slice(whole.scene, whole.questions[middle:]),
        ]
    loads = [(0, rank) for rank in range(processes)]
    shares: list[list[Slice]] = [[] for _ in range(processes)]
    for slice_ in sorted(slices, key=lambda s: -s.cost):
        load, rank = heapq.heappop(loads)
        shares[rank].append(slice_)
        heapq.heappush(loads, (load + slice_.cost, rank))
    return shares


def _passes(questions: Sequence[Question], seed: str) -> Iterator[Slice]:
    by_scene: dict[str, list[Question]] = {}
    for question in questions:
        by_scene.setdefault(question.scene, []).append(question)
    number = 0
    while True:
        rng = random.Random(f"{seed}/{number}")  # noqa: S311 - an order, not a secret
        for scene in rng.sample(list(by_scene), len(by_scene)):
            yield Slice(scene, tuple(rng.sample(by_scene[scene], len(by_scene[scene]))))
        number += 1
