"""One of the four quadrants. Levels: see `direction.py`."""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry
from evolution_jobs.questions.kinds import direction
from evolution_jobs.questions.kinds.shape import Doubt

LEVELS = direction.LEVELS
SHAPE = direction.SHAPE
GRADE = direction.Grade(
    kind="object_rel_direction_hard",
    sectors=(("front-left", 0.0, 90.0), ("back-left", 90.0, 180.0), ("back-right", 180.0, 270.0), ("front-right", 270.0, 360.0)),
    offered=("front-left", "front-right", "back-left", "back-right"),
    question="If I am standing by the {standing} and facing the {facing}, is the {query} to my front-left, front-right, "
    "back-left, or back-right?\nThe directions refer to the quadrants of a Cartesian plane (if I am standing at the origin "
    "and facing along the positive y-axis).",
    program="['front-left', 'back-left', 'back-right', 'front-right'][int(angle // 90)]",
)


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    return direction.propose(GRADE, scene, level, rng)


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    return direction.doubt(GRADE, proposal, library)
