"""Distance from the camera in one frame to the closest point of an object's box, metres; the only object of its
label, seen there.

Levels by the visible share of the object in that frame: 0 from 0.6 on, 1 from 0.3 on, 2 from 0.1 on.
"""

import random
import re

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import VISIBLE_RATIO, Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, askable, nameable

GRADES = ((0.6, 1.01), (0.3, 0.6), (VISIBLE_RATIO, 0.3))
LEVELS = len(GRADES)
SHAPE = Shape("number", unit="m", fewest=1, most=1, single=1, needs=("poses", "visibility"))
MIN_DISTANCE_M = 0.4
"""As between objects: closer, the rounding to 0.1 m is a quarter of the answer."""
FRAME = re.compile(r"\bframe (\d{1,4})\b")


def program(frame: int, label: str) -> str:
    return f"round(camera_distance({frame}, one({label!r})), 1)"


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    if not askable(library, SHAPE):
        return None
    least, most = GRADES[level]
    asked = [
        (frame, label)
        for label in nameable(library, single=True)
        for frame in range(1, library.frames() + 1)
        if least <= library.visible(frame, label) < most and library.camera_distance(frame, library.one(label)) >= MIN_DISTANCE_M
    ]
    if not asked:
        return None
    frame, label = rng.choice(asked)
    text = f"Measuring from the closest point of the object, how far is the {label} from the camera in frame {frame} (in meters)?"
    return Proposal(
        kind="camera_object_distance",
        text=text,
        answer_type="number",
        unit="m",
        program=program(frame, label),
        labels=(label,),
        level=level,
    )


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:
    frames = [int(f) for f in FRAME.findall(proposal.text)]
    if len(frames) != 1 or not 1 <= frames[0] <= library.frames():
        return "malformed_proposal", f"the question names the frames {frames}, not one of 1 to {library.frames()}"
    (label,) = proposal.labels
    share = library.visible(frames[0], label)
    if share < VISIBLE_RATIO:
        return "never_visible", f"frame {frames[0]} shows {share:.2f} of {label!r}, below {VISIBLE_RATIO}"
    if float(answer) < MIN_DISTANCE_M:
        return "too_close", f"{answer} m is below {MIN_DISTANCE_M} m"
    return None
