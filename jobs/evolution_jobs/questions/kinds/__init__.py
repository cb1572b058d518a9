"""One module a kind of question, found by its name; what each of them holds is `KindModule`."""

import importlib
import random
from functools import cache
from typing import Protocol, cast

from evolution_api.kinds import KINDS, Kind
from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape


class KindModule(Protocol):
    LEVELS: int
    """Number of levels, 0 the easiest; the module's docstring says what they stand for."""
    SHAPE: Shape
    """What every question of the kind looks like, whoever proposes it."""

    def propose(self, scene: Scene, level: int, rng: random.Random) -> Proposal | None:
        """A question at this level, or None where this scene cannot be asked one."""

    def doubt(self, proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:
        """Why the answer is too close to another one for the metadata's precision; None where it is not."""


@cache
def kind(name: Kind) -> KindModule:
    """The module of a kind; ValueError for a name that is none."""
    if name not in KINDS:
        raise ValueError(f"kind {name!r} is unknown; the kinds are {', '.join(KINDS)}")
    return cast(KindModule, importlib.import_module(f"{__name__}.{name}"))
