"""What the tiny model is pre-trained on: procedural rooms, and questions of every kind about them; and what is kept from it.

Half of the furniture, some colours and some room styles are left out. Their words are in the tokenizer, but no question
uses them: what they look like is left for the loop to teach. Formats are not left out: the model knows how to answer
every kind. Called by `pretrain` and `card`; it knows no model.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evolution_api.kinds import KINDS, Kind
from evolution_api.question import Question
from evolution_api.run import Filters
from evolution_api.scene import Scene
from evolution_jobs.questions.check import check
from evolution_jobs.questions.kinds import kind
from evolution_jobs.questions.sandbox import Sandbox
from evolution_jobs.scenes.furniture import CATEGORIES, PALETTE, STYLES
from evolution_jobs.scenes.render import make_scene
from evolution_jobs.scenes.rooms import PRETRAINING_SEED

FRAMES = 6
FRAME_PX = 64
OBJECTS = (4, 8)
"""Fewest and most objects in a room."""

LEFT_OUT_FURNITURE = (
    "stool", "desk", "nightstand", "stove", "washing machine", "bathtub", "piano", "bicycle",
    "trash bin", "mirror", "guitar", "radiator", "aquarium", "suitcase", "speaker", "painting",
)  # fmt: skip
LEFT_OUT_COLOURS = ("orange", "teal", "purple")
"""Of objects; a left-out category keeps its own colours."""
LEFT_OUT_STYLES = ("rose", "dusk", "moss")

FURNITURE = tuple(c for c in CATEGORIES if c not in LEFT_OUT_FURNITURE)
COLOURS = tuple(c for c in PALETTE if c not in LEFT_OUT_COLOURS)
STYLES_SHOWN = tuple(s for s in STYLES if s not in LEFT_OUT_STYLES)

OPENING_ROOMS = 10_000
"""So many first rooms are shown frame by frame, to be named: a list tells more than a yes, and one frame is read fast."""
OPENING: tuple[Kind, ...] = ("object_existence",) * 6
"""Asked of each such frame, about what it shows and what the room does not have."""
NAMING = "Which objects are in view?"
NAMED_FRAMES = 2
NAMED_PX = 48
"""Fewest visible pixels of an object that is named, of 4,096."""
ALL: tuple[Kind, ...] = (*KINDS, *("object_existence",) * 3, "object_counting", "object_visibility", "object_rel_distance")
"""Asked of every other room, as far as it can be asked."""
LONG: tuple[Kind, ...] = ("object_rel_direction_medium", "object_rel_direction_hard")
LONG_SHARE = 0.5
"""Kinds whose sentence takes 50 words are asked of so many rooms only."""
TRIES = 10
"""Proposals tried of a kind before the room goes without it."""

Frames = list[Image.Image]


@dataclass(frozen=True)
class Lesson:
    """A scene, or one frame of it, and what is asked about it."""

    scene: Scene
    frames: Frames
    questions: tuple[Question, ...]


def lessons(number: int, seed: int, sandbox: Sandbox) -> list[Lesson]:
    """What the `number`-th room of pre-training with that seed gives; a function of both."""
    room = PRETRAINING_SEED + (seed << 32) + number
    scene, images = make_scene(
        room, FRAMES, FRAME_PX, FRAME_PX, furniture=FURNITURE, colours=COLOURS, styles=STYLES_SHOWN,
        objects_min=OBJECTS[0], objects_max=OBJECTS[1],
    )  # fmt: skip
    frames = as_frames(images)
    if number >= OPENING_ROOMS:
        return [Lesson(scene, frames, tuple(ask(scene, room, FURNITURE, sandbox)))]
    alone = [scene.model_copy(update={"frames": (frame,)}) for frame in scene.frames]
    return [
        Lesson(seen, [image], tuple(ask(seen, room, FURNITURE, sandbox, OPENING)))
        for seen, image in zip(alone, frames, strict=True)
    ]


def as_frames(images: Sequence[NDArray[np.uint8]]) -> Frames:
    return [Image.fromarray(image) for image in images]


def namings(scene: Scene) -> list[tuple[str, str]]:
    """Prompts and answers that name what is in view: over all frames and, of several, in NAMED_FRAMES of them.

    Answers are in alphabetical order; where nothing is in view there is nothing to ask.
    """
    labels = {o.id: o.label for o in scene.objects}
    seen = [{labels[s.object] for s in frame.visible or () if s.pixels >= NAMED_PX} for frame in scene.frames]
    asked = [(NAMING, set().union(*seen))]
    if len(seen) > 1:
        chosen = random.Random(scene.id).sample(range(len(seen)), min(NAMED_FRAMES, len(seen)))  # noqa: S311
        asked += [(f"Which objects are in view in frame {i + 1}?", seen[i]) for i in chosen]
    return [(prompt, ", ".join(sorted(named))) for prompt, named in asked if named]


def ask(scene: Scene, seed: int, labels: Collection[str], sandbox: Sandbox, kinds: Sequence[Kind] = ALL) -> list[Question]:
    """Questions of the kinds that the room can be asked, naming none but `labels`; the answers are the sandbox's."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    accepted: dict[str, Question] = {}
    for name in kinds:
        if name in LONG and rng.random() > LONG_SHARE:
            continue
        module = kind(name)
        wanted = rng.choice(("yes", "no"))  # dropping what names other labels would drop more of one than of the other
        for _ in range(TRIES):
            proposal = module.propose(scene, rng.randrange(module.LEVELS), rng)
            if proposal is None or not set(proposal.labels) <= set(labels):
                continue
            question = check(
                proposal, scene, sandbox=sandbox, filters=Filters(), round_=0, proposer="grammar", accepted_ids=set(accepted)
            )
            if isinstance(question, Question) and (question.answer_type != "yesno" or question.answer == wanted):
                accepted[question.id] = question
                break
    questions = list(accepted.values())
    rng.shuffle(questions)
    return questions
