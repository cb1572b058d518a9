"""Left or right of what one faces; what lies behind is not asked. Levels: see `direction.py`."""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry
from evolution_jobs.questions.kinds import direction
from evolution_jobs.questions.kinds.shape import Doubt

LEVELS = direction.LEVELS
SHAPE = direction.SHAPE
GRADE = direction.Grade(
    kind="object_rel_direction_easy",
    sectors=(("left", 0.0, 135.0), ("behind", 135.0, 225.0), ("right", 225.0, 360.0)),
    offered=("left", "right"),
    question="If I am standing by the {standing} and facing the {facing}, is the {query} to the left "
    "or the right of the {facing}?",
    program="'left' if angle < 180 else 'right'",
)


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    return direction.propose(GRADE, scene, level, rng)


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    return direction.doubt(GRADE, proposal, library)
