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
from evolution_api.run.generation import Filters
from evolution_api.scene import Frame, Scene
from evolution_jobs.model.prompts import answer_text, prompt_text
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

NAMING = "Which objects are in view?"
NAMING_FRAME = "Which objects are in frame {number}?"
NAMED_FRAMES = 2
"""Frames of a room whose objects are named."""
NAMED_PX = 48
"""Fewest visible pixels of an object that is named, of 4,096."""
ALL: tuple[Kind, ...] = (*KINDS, *("object_existence",) * 3, "object_counting", "object_visibility", "object_rel_distance")
"""Asked of every room, as far as it can be asked."""
LONG: tuple[Kind, ...] = ("object_rel_direction_medium", "object_rel_direction_hard")
LONG_SHARE = 0.25
"""Kinds whose sentence takes 50 words are asked of so many rooms only."""
TRIES = 10
"""Proposals tried of a kind before the room goes without it."""

Frames = list[Image.Image]


@dataclass(frozen=True)
class Lesson:
    frames: Frames
    asked: list[tuple[str, str, str]]
    """Prompt, answer and kind: what is in view to be named, then questions."""


def lesson(number: int, seed: int, sandbox: Sandbox) -> Lesson:
    """The `number`-th room of pre-training with that seed, and what is asked about it; a function of both."""
    room = PRETRAINING_SEED + (seed << 32) + number
    scene, images = make_scene(
        room, FRAMES, FRAME_PX, FRAME_PX, furniture=FURNITURE, colours=COLOURS, styles=STYLES_SHOWN,
        objects_min=OBJECTS[0], objects_max=OBJECTS[1],
    )  # fmt: skip
    questions = ask(scene, room, FURNITURE, sandbox)
    asked = [(*naming, "naming") for naming in namings(scene, room)]
    asked += [(prompt_text(q, "text"), answer_text(q, "text"), q.kind) for q in questions]
    return Lesson(as_frames(images), asked)


def as_frames(images: Sequence[NDArray[np.uint8]]) -> Frames:
    return [Image.fromarray(image) for image in images]


def names(scene: Scene, frames: Sequence[Frame]) -> str:
    """The labels that those frames of the scene show, in alphabetical order."""
    labels = {o.id: o.label for o in scene.objects}
    seen = (s for frame in frames for s in frame.visible or () if s.pixels >= NAMED_PX)
    return ", ".join(sorted({labels[s.object] for s in seen})) or "none"


def namings(scene: Scene, seed: int) -> list[tuple[str, str]]:
    """What is in view over all, and in a few of the frames: prompts and answers."""
    numbers = random.Random(seed).sample(range(len(scene.frames)), NAMED_FRAMES)  # noqa: S311 - no secret
    single = [(NAMING_FRAME.format(number=n + 1), names(scene, scene.frames[n : n + 1])) for n in numbers]
    return [(NAMING, names(scene, scene.frames)), *single]


def ask(scene: Scene, seed: int, labels: Collection[str], sandbox: Sandbox) -> list[Question]:
    """Questions of every kind that the room can be asked, naming none but `labels`; the answers are the sandbox's."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    accepted: dict[str, Question] = {}
    for name in ALL:
        if name in LONG and rng.random() > LONG_SHARE:
            continue
        module = kind(name)
        wanted = rng.choice(("yes", "no"))  # dropping what names other labels would drop more of one than of the other
        grade = rng.randrange(module.LEVELS)
        for _ in range(TRIES):
            # Nearly every room can be asked about a single object: trying other grades would make "1" the answer to all counts.
            level = grade if name == "object_counting" else rng.randrange(module.LEVELS)
            proposal = module.propose(scene, level, rng)
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
