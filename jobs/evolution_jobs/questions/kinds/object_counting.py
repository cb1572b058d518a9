"""How many objects of a label are in the room. Levels by the count: 0 one, 1 two, 2 three or four, 3 five and more.

VSI-Bench asks only counts from 2 on.
"""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import VISIBLE_RATIO, Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, nameable, unseen

GRADES = ((1, 1), (2, 2), (3, 4), (5, 1000))
LEVELS = len(GRADES)
SHAPE = Shape("count", fewest=1, most=1, every=True)


def program(label: str) -> str:
    return f"count({label!r})"


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    fewest, most = GRADES[level]
    labels = [
        label
        for label in nameable(library, single=False)
        if fewest <= len(library.objects(label)) <= most and not unseen(library, label, VISIBLE_RATIO, every=True)
    ]
    if not labels:
        return None
    label = rng.choice(labels)
    text = f"How many {label}(s) are in this room?"
    return Proposal(kind="object_counting", text=text, answer_type="count", program=program(label), labels=(label,), level=level)


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    """A count has no margin."""
    return None
