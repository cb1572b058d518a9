"""Left, right or back, back from a turn of 135 degrees on. Levels: see `direction.py`."""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry
from evolution_jobs.questions.kinds import direction
from evolution_jobs.questions.kinds.shape import Doubt

LEVELS = direction.LEVELS
SHAPE = direction.SHAPE
GRADE = direction.Grade(
    kind="object_rel_direction_medium",
    sectors=(("left", 0.0, 135.0), ("back", 135.0, 225.0), ("right", 225.0, 360.0)),
    offered=("left", "right", "back"),
    question="If I am standing by the {standing} and facing the {facing}, is the {query} to my left, right, or back?\n"
    "An object is to my back if I would have to turn at least 135 degrees in order to face it.",
    program="'back' if 135 <= angle <= 225 else 'left' if angle < 180 else 'right'",
)


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    return direction.propose(GRADE, scene, level, rng)


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    return direction.doubt(GRADE, proposal, library)
