"""Which of several objects is closest to another one, by closest points; the target is the only object of its label.

Levels by the number of candidates and by how much farther the second is: 0 two and from 1 m on, 1 three and from 0.6
m, 2 four and from 0.3 m, 3 four and 0.15 to 0.6 m.
"""

import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, nameable, sample, shuffled

MARGIN_M = 0.15
"""VSI-Bench's least distance, and its least gap between the two closest."""
GRADES = ((2, 1.0, 100.0), (3, 0.6, 100.0), (4, 0.3, 100.0), (4, MARGIN_M, 0.6))
LEVELS = len(GRADES)
SHAPE = Shape("choice", fewest=3, most=27, single=1)
TRIES = 24


def program(target: str, candidates: list[str]) -> str:
    return (
        f"target = one({target!r})\n"
        "closest, least = '', 1e9\n"
        f"for label in {candidates!r}:\n"
        "    for other in objects(label):\n"
        "        if distance(target, other) < least:\n"
        "            closest, least = label, distance(target, other)\n"
        "closest"
    )


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    number, narrowest, widest = GRADES[level]
    targets, candidates = nameable(library, single=True), nameable(library, single=False)
    for target, *_ in sample(rng, targets, 1, TRIES):
        others = sorted(rng.sample([c for c in candidates if c != target], min(number, len(candidates) - 1)))
        if len(others) < number:
            return None
        least, second = _two_least(library, target, others)
        if least < MARGIN_M or not narrowest <= second - least <= widest:
            continue
        text = (
            f"Measuring from the closest point of each object, which of these objects ({', '.join(others)}) "
            f"is the closest to the {target}?"
        )
        return Proposal(
            kind="object_rel_distance",
            text=text,
            answer_type="choice",
            options=shuffled(others, scene.id, text),
            program=program(target, others),
            labels=(target, *others),
            level=level,
        )
    return None


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    target, *others = proposal.labels
    if target in others:
        return "malformed_proposal", f"the target {target!r} is among its own candidates"
    least, second = _two_least(library, target, others)
    if least < MARGIN_M or second - least < MARGIN_M:
        return "too_close", f"the closest is {least:.2f} m away, the second {second:.2f} m; both need {MARGIN_M} m of room"
    return None


def _two_least(library: Geometry, target: str, others: list[str]) -> tuple[float, float]:
    """Distances of the closest and the second closest label."""
    here = library.one(target)
    nearest = sorted(min(library.distance(here, o) for o in library.objects(label)) for label in others)
    return nearest[0], nearest[1]
