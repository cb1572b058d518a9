"""The three grades of relative direction in one place: standing by one object and facing a second, where is a third?

Each grade cuts the circle of bearings (counter-clockwise from straight ahead) into sectors. A question is sound if
the query lies inside its sector by a margin on both sides. Levels by that margin: 0 from 30 degrees on, 1 from 20 on,
2 from 10.25 on.
"""

import math
import random
from dataclasses import dataclass

from evolution_api.kinds import Kind
from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.boxes import Solid
from evolution_jobs.questions.geometry import Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, nameable, sample, shuffled

MARGIN_DEG = 10.25
"""Least margin of VSI-Bench's hard grade, which it keeps on one side only; here on both, in all grades."""
GRADES_DEG = ((30.0, 180.0), (20.0, 30.0), (MARGIN_DEG, 20.0))
LEVELS = len(GRADES_DEG)
SHAPE = Shape("choice", fewest=3, most=3, single=3)
NEAREST_M, FARTHEST_M = 0.3, 5.0
"""VSI-Bench's bounds on the distances, on the floor, between each two of the three objects."""
CORNERS_OUTSIDE = 2
"""VSI-Bench drops a triple if more than so many of the query box's corners lie in another sector."""
TRIES = 40


@dataclass(frozen=True)
class Grade:
    kind: Kind
    sectors: tuple[tuple[str, float, float], ...]
    """Option, from, to: degrees counter-clockwise; together the whole circle."""
    offered: tuple[str, ...]
    """Options; a sector that is not offered cannot be asked."""
    question: str
    """Sentence with {standing}, {facing} and {query}."""
    program: str
    """The last lines of the program, over `angle`."""


def program(grade: Grade, standing: str, facing: str, query: str) -> str:
    return f"angle = bearing(one({standing!r}), one({facing!r}), one({query!r}))\n{grade.program}"


def margin(grade: Grade, angle: float) -> tuple[str, float]:
    """The sector of a bearing, and the angle to its nearer border."""
    for option, start, end in grade.sectors:
        if start <= angle < end:
            return option, min(angle - start, end - angle)
    raise AssertionError(f"the sectors of {grade.kind} leave {angle} out")


def propose(grade: Grade, scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    least, most = GRADES_DEG[level]
    aim = rng.choice(grade.offered)  # rooms have few objects behind one: without an aim, back would hardly be asked
    found: list[str] | None = None
    for labels in sample(rng, nameable(library, single=True), 3, TRIES):
        if _unsound(grade, library, labels) is not None:
            continue
        sector, inside = margin(grade, library.bearing(*map(library.one, labels)))
        if least <= inside < most:
            found = labels
            if sector == aim:
                break
    if found is None:
        return None
    standing, facing, query = found
    text = grade.question.format(standing=standing, facing=facing, query=query)
    return Proposal(
        kind=grade.kind,
        text=text,
        answer_type="choice",
        options=shuffled(grade.offered, scene.id, text),
        program=program(grade, standing, facing, query),
        labels=(standing, facing, query),
        level=level,
    )


def doubt(grade: Grade, proposal: Proposal, library: Geometry) -> Doubt | None:
    if len(set(proposal.labels)) < 3:
        return "malformed_proposal", f"the three objects {proposal.labels} are not three"
    sentence = _unsound(grade, library, list(proposal.labels))
    return None if sentence is None else ("too_close", sentence)


def _unsound(grade: Grade, library: Geometry, labels: list[str]) -> str | None:
    """One sentence if the direction is closer to another one than MARGIN_DEG, or the objects too close or too far for one."""
    standing, facing, query = (library.one(label) for label in labels)
    spots = [library.position(o)[:2] for o in (standing, facing, query)]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        apart = math.dist(spots[i], spots[j])
        if not NEAREST_M <= apart <= FARTHEST_M:
            return f"{labels[i]!r} and {labels[j]!r} are {apart:.2f} m apart on the floor, not {NEAREST_M} to {FARTHEST_M} m"
    angle = library.bearing(standing, facing, query)
    sector, inside = margin(grade, angle)
    if sector not in grade.offered:
        return f"the bearing of {angle:.1f} degrees lies {sector}, which is no option"
    if inside < MARGIN_DEG:
        return f"the bearing of {angle:.1f} degrees is {inside:.1f} from the border of {sector!r}, below {MARGIN_DEG}"
    ahead = math.atan2(spots[1][1] - spots[0][1], spots[1][0] - spots[0][0])
    box = next(o.box for o in library.scene.objects if o.id == query)
    bearings = [
        math.degrees(math.atan2(y - spots[0][1], x - spots[0][0]) - ahead) % 360.0 % 360.0 for x, y, _z in Solid(box).corners
    ]
    outside = sum(margin(grade, b)[0] != sector for b in bearings)
    if outside > CORNERS_OUTSIDE:
        return f"{outside} of the 8 corners of {labels[2]!r} are not to the {sector}, more than {CORNERS_OUTSIDE}"
    return None
