"""In which order do four labels first appear in the frames? Levels by the number of labels: 0 two, 1 three, 2 four
(as VSI-Bench).

First seen means a tenth visible. The sentence lists the labels by the alphabet, so that the listed order says
nothing: it is as likely to be right as any other that is offered. (In VSI-Bench it is always among the options and
never right.)
"""

import itertools
import random

from evolution_api.question import Proposal
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import VISIBLE_RATIO, Geometry, geometry
from evolution_jobs.questions.kinds.shape import Doubt, Shape, askable, nameable, sample, shuffled

NUMBERS = (2, 3, 4)
LEVELS = len(NUMBERS)
SHAPE = Shape("choice", fewest=2, most=26, needs=("visibility",))
OFFERED = 4
BAND = (0.5, 2.0)
"""The order has to be the same with half and with twice the visible share."""
TRIES = 24


def program(labels: list[str]) -> str:
    return (
        f"first = {{label: first_seen(label) for label in {labels!r}}}\n', '.join(sorted(first, key=lambda label: first[label]))"
    )


def propose(scene: Scene, level: int, rng: random.Random) -> Proposal | None:
    library = geometry(scene)
    if not askable(library, SHAPE):
        return None
    for drawn in sample(rng, nameable(library, single=False), NUMBERS[level], TRIES):
        labels = sorted(drawn)
        if unsettled(library, labels) is not None:
            continue
        right = ", ".join(sorted(labels, key=library.first_seen))
        wrong = [", ".join(p) for p in itertools.permutations(labels) if ", ".join(p) != right]
        options = [right, *rng.sample(wrong, min(OFFERED - 1, len(wrong)))]
        text = f"What will be the first-time appearance order of the following categories in the video: {', '.join(labels)}?"
        return Proposal(
            kind="obj_appearance_order",
            text=text,
            answer_type="choice",
            options=shuffled(options, scene.id, text),
            program=program(labels),
            labels=tuple(labels),
            level=level,
        )
    return None


def doubt(proposal: Proposal, answer: str, library: Geometry) -> Doubt | None:  # noqa: ARG001
    sentence = unsettled(library, list(proposal.labels))
    return None if sentence is None else ("too_close", sentence)


def unsettled(library: Geometry, labels: list[str]) -> str | None:
    """One sentence if two labels appear in the same frame, or change places with a higher or lower visible share."""
    orders = []
    for factor in (1.0, *BAND):
        first = {label: _first(library, label, VISIBLE_RATIO * factor) for label in labels}
        frames = sorted(first.values())
        if len(set(frames)) < len(frames):
            return f"two of {first} first appear in the same frame at a visible share of {VISIBLE_RATIO * factor:g}"
        orders.append(sorted(labels, key=first.__getitem__))
    if orders[0] != orders[1] or orders[0] != orders[2]:
        return f"the order changes with the visible share that counts as seen: {orders[0]}, {orders[1]}, {orders[2]}"
    return None


def _first(library: Geometry, label: str, ratio: float) -> int:
    """First frame that shows at least this share; after the last where none does."""
    frames = range(1, library.frames() + 1)
    return next((f for f in frames if library.visible(f, label) >= ratio), library.frames() + 1)
