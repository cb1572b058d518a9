"""What the kinds share: the shape of a question, and which objects of a scene can be named in one."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from evolution_api.kinds import AnswerType, Reason
from evolution_jobs.questions.geometry import VISIBLE_RATIO, Geometry

Doubt = tuple[Reason, str]
"""A reason code and one sentence with the values that led to it."""
Need = Literal["room_size", "poses", "visibility"]


@dataclass(frozen=True)
class Shape:
    answer_type: AnswerType
    unit: str | None = None
    fewest: int = 0
    """Fewest labels that a question names."""
    most: int = 0
    """Most labels that a question names."""
    single: int = 0
    """The first so many labels must each name exactly one object of the scene."""
    absent: bool = False
    """Labels may name nothing in the scene."""
    every: bool = False
    """Every object of the label has to be seen in some frame, not just one."""
    needs: tuple[Need, ...] = ()
    """What the scene has to carry."""


def lacks(library: Geometry, need: Need) -> str | None:
    """One sentence if the scene lacks what is needed."""
    scene = library.scene
    if need == "room_size":
        return None if scene.room_size_m2 is not None else "the scene does not know its room size"
    if not scene.frames:
        return "the scene has no frames"
    if need == "poses":
        return None if all(f.pose is not None for f in scene.frames) else "not all frames have a pose"
    return None if all(f.visible is not None for f in scene.frames) else "what the frames show is unknown"


def askable(library: Geometry, shape: Shape) -> bool:
    return all(lacks(library, need) is None for need in shape.needs)


def unseen(library: Geometry, label: str, ratio: float, *, every: bool = False) -> bool:
    """Whether no frame shows an object of the label (with `every`: whether one of them is never shown); False where unknown."""
    if lacks(library, "visibility") is not None:
        return False
    shown = {s.object for f in library.scene.frames for s in f.visible or () if s.ratio >= ratio and s.ratio > 0}
    seen = [o in shown for o in library.objects(label)]
    return not all(seen) if every else not any(seen)


def noise(library: Geometry, label: str) -> str | None:
    """One sentence if the source's count of a label is not the number of its boxes."""
    counts, boxes = library.scene.counts, len(library.objects(label))
    if counts is None or counts.get(label, 0) == boxes:
        return None
    return f"the source counts {counts.get(label, 0)} of {label!r}, but gives {boxes} boxes"


def nameable(library: Geometry, *, single: bool) -> list[str]:
    """Labels that a question can name: counts and boxes agree, some frame shows one; with `single`, exactly one object."""
    return [
        label
        for label in library.labels()
        if noise(library, label) is None
        and (not single or len(library.objects(label)) == 1)
        and not unseen(library, label, VISIBLE_RATIO)
    ]


def sample(rng: random.Random, items: Sequence[str], n: int, tries: int) -> Iterable[list[str]]:
    """Up to `tries` random ordered choices of n different items."""
    if len(items) >= n:
        for _ in range(tries):
            yield rng.sample(items, n)


def shuffled(options: Iterable[str], scene: str, text: str) -> tuple[str, ...]:
    """Options in an order that follows from scene and sentence alone, so that the same question asked again is the same."""
    digest = hashlib.sha256(f"{scene}\n{text}".encode()).digest()
    listed = sorted(options)
    random.Random(digest).shuffle(listed)  # noqa: S311 - no secret
    return tuple(listed)
