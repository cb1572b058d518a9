"""How did the camera's heading or place change between two frames?

Levels: 0 turned left or right, by 45 to 150 degrees; 1 the same, by 20 to 45; 2 left, right or no turn; 3 where it
moved, seen from the first frame: forward, back, left or right. Turns are level, the shorter way round, and judged by
the poses of the two frames alone.
"""

import math
import random
import re

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import Geometry, MetadataError, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, askable, shuffled

LEVELS = 4
SHAPE = Shape("choice", needs=("poses",))
TURNED_DEG = 20.0
"""From here on a turn is a turn ..."""
STILL_DEG = 8.0
"""... and below this it is none (SpatialEvo's least rotation); between the two nothing is asked."""
LONGEST_TURN_DEG = 150.0
"""Beyond it left and right grow alike."""
GRADES_DEG = ((45.0, LONGEST_TURN_DEG), (TURNED_DEG, 45.0), (0.0, LONGEST_TURN_DEG))
SIDES, SIDES_OR_NONE = ("left", "right"), ("left", "right", "not at all")
WAYS = ("forward", "left", "back", "right")
"""Quarters of the circle, counter-clockwise, the first one around straight ahead."""
MOVED_M = 0.5
WAY_MARGIN_DEG = 15.0
"""Least angle between the way and a border of its quarter."""
FRAME = re.compile(r"\bframe (\d{1,4})\b")


def turn_program(i: int, j: int) -> str:
    return f"turn = camera_turn({i}, {j})\n'left' if turn >= {TURNED_DEG} else 'right' if turn <= -{TURNED_DEG} else 'not at all'"


def move_program(i: int, j: int) -> str:
    return (
        f"forward, left, up = camera_move({i}, {j})\n"
        "if abs(forward) >= abs(left):\n"
        "    way = 'forward' if forward > 0 else 'back'\n"
        "else:\n"
        "    way = 'left' if left > 0 else 'right'\n"
        "way"
    )


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    if not askable(library, SHAPE):
        return None
    moves = level == 3
    offered = WAYS if moves else SIDES_OR_NONE if level == 2 else SIDES
    found: dict[str, list[tuple[int, int]]] = {}
    for i in range(1, library.frames()):
        for j in range(i + 1, library.frames() + 1):
            try:
                answer, unsure = _moved(library, i, j) if moves else _turned(library, i, j)
                fits = moves or GRADES_DEG[level][0] <= abs(library.camera_turn(i, j)) <= GRADES_DEG[level][1]
            except MetadataError:
                continue  # a camera that looks straight down has no heading
            if unsure is None and answer in offered and fits:
                found.setdefault(answer, []).append((i, j))
    if not found:
        return None
    i, j = rng.choice(found[rng.choice(sorted(found))])
    if moves:
        text = f"From frame {i} to frame {j}, which way did the camera move, seen from the direction it was facing in frame {i}?"
    else:
        turns = "left or right" if offered == SIDES else "left, right, or not at all"
        text = f"From frame {i} to frame {j}, did the camera turn {turns}?"
    return Proposal(
        kind="camera_motion",
        text=text,
        answer_type="choice",
        options=shuffled(offered, scene.id, text),
        program=move_program(i, j) if moves else turn_program(i, j),
        level=level,
    )


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    named = list(dict.fromkeys(int(f) for f in FRAME.findall(proposal.text)))
    offered = set(proposal.options)
    if len(named) != 2 or not all(1 <= f <= library.frames() for f in named):
        return "malformed_proposal", f"the question names the frames {named}, not two of 1 to {library.frames()}"
    if offered == set(WAYS):
        true, unsure = _moved(library, *named)
    elif offered in (set(SIDES), set(SIDES_OR_NONE)):
        true, unsure = _turned(library, *named)
    else:
        return "malformed_proposal", f"the options {proposal.options} are neither {SIDES}, {SIDES_OR_NONE} nor {WAYS}"
    if unsure is None and true not in offered:
        unsure = f"the camera turned {true}, which is no option"
    return None if unsure is None else ("too_close", unsure)


def _turned(library: Geometry, i: int, j: int) -> tuple[str, str | None]:
    """The turn, and one sentence if it is not clear."""
    turn = library.camera_turn(i, j)
    if abs(turn) < STILL_DEG:
        return "not at all", None
    side = "left" if turn > 0 else "right"
    if not TURNED_DEG <= abs(turn) <= LONGEST_TURN_DEG:
        return side, f"a turn of {turn:.1f} degrees is neither below {STILL_DEG} nor {TURNED_DEG} to {LONGEST_TURN_DEG}"
    return side, None


def _moved(library: Geometry, i: int, j: int) -> tuple[str, str | None]:
    """The way, and one sentence if it is not clear."""
    forward, left, _up = library.camera_move(i, j)
    angle = math.degrees(math.atan2(left, forward)) % 360.0
    way = WAYS[int(((angle + 45.0) % 360.0) // 90.0)]
    inside = 45.0 - abs((angle + 45.0) % 90.0 - 45.0)
    if math.hypot(forward, left) < MOVED_M:
        return way, f"the camera moved {math.hypot(forward, left):.2f} m, below {MOVED_M} m"
    if inside < WAY_MARGIN_DEG:
        return way, f"the way at {angle:.1f} degrees is {inside:.1f} from a border of {way!r}, below {WAY_MARGIN_DEG}"
    return way, None
