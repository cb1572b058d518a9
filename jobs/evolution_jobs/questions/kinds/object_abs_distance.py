"""Distance between the closest points of two objects, each the only one of its label, metres.

Levels by the distance, since far pairs are rarely in one picture: 0 below 1.5 m, 1 below 3 m, 2 farther.
"""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, nameable, sample

MIN_DISTANCE_M = 0.4
"""VSI-Bench asks no shorter distance."""
GRADES_M = ((MIN_DISTANCE_M, 1.5), (1.5, 3.0), (3.0, 1000.0))
LEVELS = len(GRADES_M)
SHAPE = Shape("number", unit="m", fewest=2, most=2, single=2)
TRIES = 24


def program(a: str, b: str) -> str:
    return f"round(distance(one({a!r}), one({b!r})), 1)"


def vsi_program(a: str, b: str) -> str:
    """VSI-Bench's own rule; where a label has several objects, the closest pair."""
    return f"round(min([distance_vsi(a, b) for a in objects({a!r}) for b in objects({b!r})]), 1)"


def exact_program(a: str, b: str) -> str:
    """As `vsi_program`, by the true distance."""
    return f"round(min([distance(a, b) for a in objects({a!r}) for b in objects({b!r})]), 1)"


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    least, most = GRADES_M[level]
    for a, b in sample(rng, nameable(library, single=True), 2, TRIES):
        if least <= library.distance(library.one(a), library.one(b)) < most:
            a, b = sorted((a, b))
            text = (
                f"Measuring from the closest point of each object, what is the distance between the {a} and the {b} (in meters)?"
            )
            return Proposal(
                kind="object_abs_distance",
                text=text,
                answer_type="number",
                unit="m",
                program=program(a, b),
                labels=(a, b),
                level=level,
            )
    return None


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:
    a, b = proposal.labels
    apart = library.distance(library.one(a), library.one(b))
    if min(apart, float(answer)) < MIN_DISTANCE_M:
        return "too_close", f"{a!r} and {b!r} are {apart:.2f} m apart (answer {answer}), below {MIN_DISTANCE_M} m"
    return None
