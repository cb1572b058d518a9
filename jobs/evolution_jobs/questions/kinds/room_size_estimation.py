"""Floor area of the room, square metres. One level."""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, askable

LEVELS = 1
SHAPE = Shape("number", unit="m2", needs=("room_size",))
TEXT = "What is the size of this room (in square meters)? \nIf multiple rooms are shown, estimate the size of the combined space."
PROGRAM = "round(room_size(), 1)"


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:  # noqa: ARG001
    if level != 0:
        raise IndexError(f"room_size_estimation has one level, 0, not {level}")
    if not askable(geometry(scene), SHAPE):
        return None
    return Proposal(kind="room_size_estimation", text=TEXT, answer_type="number", unit="m2", program=PROGRAM)


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    """An area has no threshold near it."""
    return None
