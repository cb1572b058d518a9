"""In which of these frames can an object of the label be seen? Exactly one of the offered frames shows it, the others
show nothing of it.

Levels by the number of frames offered: 0 two, 1 three, 2 four.
"""

import random
import re

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import VISIBLE_RATIO, Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, askable, nameable, shuffled

NUMBERS = (2, 3, 4)
LEVELS = len(NUMBERS)
SHAPE = Shape("choice", fewest=1, most=1, needs=("visibility",))
CLEARLY = 2 * VISIBLE_RATIO
"""Least visible share in the right frame."""
HARDLY = VISIBLE_RATIO / 5
"""Largest visible share in the other frames."""
OPTION = re.compile(r"frame (\d{1,4})")


def program(frames: list[int], label: str) -> str:
    return (
        f"seen = [frame for frame in {frames!r} if visible(frame, {label!r}) >= {VISIBLE_RATIO}]\n"
        "'frame ' + str(seen[0]) if len(seen) == 1 else 'not one frame'"
    )


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    if not askable(library, SHAPE):
        return None
    labels = nameable(library, single=False)
    rng.shuffle(labels)
    for label in labels:
        shares = {frame: library.visible(frame, label) for frame in range(1, library.frames() + 1)}
        clear = [f for f, share in shares.items() if share >= CLEARLY]
        empty = [f for f, share in shares.items() if share <= HARDLY]
        if not clear or len(empty) < NUMBERS[level] - 1:
            continue
        frames = sorted([rng.choice(clear), *rng.sample(empty, NUMBERS[level] - 1)])
        text = f"In which of these frames can you see the {label}: {', '.join(map(str, frames))}?"
        return Proposal(
            kind="object_visibility",
            text=text,
            answer_type="choice",
            options=shuffled([f"frame {f}" for f in frames], scene.id, text),
            program=program(frames, label),
            labels=(label,),
            level=level,
        )
    return None


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:
    (label,) = proposal.labels
    for option in proposal.options:
        named = OPTION.fullmatch(option)
        if named is None or not 1 <= int(named[1]) <= library.frames():
            return "malformed_proposal", f"the option {option!r} is no frame; write 'frame 1' to 'frame {library.frames()}'"
        share = library.visible(int(named[1]), label)
        if option == answer and share < CLEARLY:
            return "too_close", f"{option} shows only {share:.2f} of {label!r}, below {CLEARLY}"
        if option != answer and share > HARDLY:
            return "too_close", f"{option} also shows {share:.2f} of {label!r}, above {HARDLY}"
    return None
