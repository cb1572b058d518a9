"""Longest side of the only object of its label, centimetres. Levels by that side: 0 from 120 cm on, 1 from 60, 2
below.

The box's longest edge, as VSI-Bench takes it: in a tilted box it need be neither length, width nor height.
"""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, nameable

GRADES_M = ((1.2, 100.0), (0.6, 1.2), (0.0, 0.6))
LEVELS = len(GRADES_M)
SHAPE = Shape("number", unit="cm", fewest=1, most=1, single=1)
MIN_CM = 5
"""Below this the metadata's precision (5 cm voxels) is the answer."""


def program(label: str) -> str:
    return f"round(100 * longest_side(one({label!r})))"


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    least, most = GRADES_M[level]
    labels = [x for x in nameable(library, single=True) if least <= library.longest_side(library.one(x)) < most]
    if not labels:
        return None
    label = rng.choice(labels)
    text = f"What is the length of the longest dimension (length, width, or height) of the {label}, measured in centimeters?"
    return Proposal(
        kind="object_size_estimation",
        text=text,
        answer_type="number",
        unit="cm",
        program=program(label),
        labels=(label,),
        level=level,
    )


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    if float(answer) < MIN_CM:
        return "too_close", f"{answer} cm is within the metadata's precision of {MIN_CM} cm"
    return None
