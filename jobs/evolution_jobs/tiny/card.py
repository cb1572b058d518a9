"""The tiny model's card: scores on rooms that it never saw, and the README.md beside its weights that states them.

Called at the end of `pretrain`; alone it scores the weights that are there again.

    python -m evolution_jobs.tiny.card --model examples/tiny-model
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from evolution_api.figures import Figures
from evolution_api.question import Question
from evolution_api.results import Answered
from evolution_jobs.evaluate.answering import answered, blind_scores
from evolution_jobs.evaluate.metrics import measure
from evolution_jobs.model.prompts import prompt_text, spoken
from evolution_jobs.model.solver import Solver
from evolution_jobs.questions.sandbox import Sandbox
from evolution_jobs.scenes.furniture import STYLES
from evolution_jobs.scenes.render import make_scene
from evolution_jobs.scenes.rooms import PRETRAINING_SEED
from evolution_jobs.tiny.curriculum import (
    COLOURS,
    FRAME_PX,
    FRAMES,
    FURNITURE,
    LEFT_OUT_COLOURS,
    LEFT_OUT_FURNITURE,
    LEFT_OUT_STYLES,
    NAMING,
    OBJECTS,
    STYLES_SHOWN,
    Frames,
    as_frames,
    ask,
)

ROOMS = 120
"""Of each kind of test room: about a hundred questions of every kind."""
FIRST_ROOM = PRETRAINING_SEED - 2**32
"""Neither a run's rooms nor pre-training's: those end below, these begin above."""
TRAINING_FILE = "pretraining.json"
"""What `pretrain` leaves for the card: steps of both parts, scenes a step, rooms, minutes and seed."""

TEXT = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---
# A tiny Qwen3-VL that sees

{parameters:.1f} million parameters, the architecture and processor of Qwen3-VL in small: {frames} frames of {px} x
{px} pixels, 16 visual tokens a frame, a word-level tokenizer of {words} entries. It opens with `AutoProcessor` and
`AutoModelForImageTextToText`, without remote code. It is the base model of the quickstart and of the tests; it is
good for nothing outside rooms drawn by this project.

## What it was trained on

First its vision tower alone, for {looking_steps:,} steps: what each visual token shows of the furniture, and how far
away it is, as the renderer knows it; a token that shows a lamp is drawn towards the embedding of the word. Then, with
that beside it, all of it on {rooms:,} procedural rooms (each seen once) of {low} to {high} objects: what is in view
("{naming}" "bed, plant"), over all and frame by frame, and about 13 questions a room of every kind that the project
asks, answered with words (`model.choices: text`). {steps:,} steps of AdamW, {scenes} rooms a step, learning rate 1e-3
with a cosine to zero. {minutes:g} minutes on two cores. Every answer but the names is what the question's program
returned in the sandbox. No picture, text or weight of anybody else is in it.

## What was left out, for the loop to teach

- furniture: {left_furniture}
- colours: {left_colours}
- room styles: {left_styles}

Their words are in the tokenizer, but no question and no answer of pre-training used one; at its end the embeddings of
these words were drawn anew around the mean of the furniture that it knows. The formats of all kinds are known to it.

## Scores

Rooms that it never saw, {test_rooms} of each sort. Exact match, for numbers mean relative accuracy. *Elsewhere*: the
same questions with another room's frames. *Blind*: the better of two priors that know the question's words and the
other rooms' answers. *Seeing*: own frames minus elsewhere, with its 95 % interval. Where seeing is near zero, the
model answers by prior: it has the form, not the sight.

### Rooms of what it was trained on

{seen}

### Rooms of left-out furniture, in all colours and styles

{left}

## How to make it again

    python -m evolution_jobs.tiny.pretrain --out examples/tiny-model --minutes {minutes:g} --seed {seed}

Rooms, questions and initial weights follow from the seed; the number of steps follows from the machine, so the
weights are not the same to the bit. `python -m evolution_jobs.tiny.card --model examples/tiny-model` scores what is
there.

## Limits

It reads {frames} frames at {px} x {px}; other numbers of frames and sizes run, but it was not trained on them. It
knows no words outside `evolution_jobs/tiny/vocabulary.py`. Letters as answers (`model.choices: letter`) were not
trained. A number is said digit by digit.
"""


def write_card(model: Path) -> None:
    """Score the model in the folder and write README.md beside it; `TRAINING_FILE` has to be there."""
    training = json.loads((model / TRAINING_FILE).read_text())
    solver = Solver.load(model, "float32", "cpu")
    seen = scores(solver, FURNITURE, COLOURS, STYLES_SHOWN, FIRST_ROOM)
    left = scores(solver, LEFT_OUT_FURNITURE, None, tuple(STYLES), FIRST_ROOM + 2**31)
    text = TEXT.format(
        parameters=sum(p.numel() for p in solver.model.parameters()) / 1e6,
        words=len(solver.tokenizer),
        frames=FRAMES,
        px=FRAME_PX,
        low=OBJECTS[0],
        high=OBJECTS[1],
        test_rooms=ROOMS,
        naming=NAMING,
        left_furniture=", ".join(LEFT_OUT_FURNITURE),
        left_colours=", ".join(LEFT_OUT_COLOURS),
        left_styles=", ".join(LEFT_OUT_STYLES),
        seen=table(seen),
        left=table(left),
        **training,
    )
    (model / "README.md").write_text(text)


def scores(
    solver: Solver, furniture: Sequence[str], colours: Sequence[str] | None, styles: Sequence[str], first_room: int
) -> Figures:
    """Scores on `ROOMS` rooms of that furniture, asked about nothing else."""
    sandbox = Sandbox()
    asked, shown = [], []
    for number in range(first_room, first_room + ROOMS):
        scene, images = make_scene(
            number, FRAMES, FRAME_PX, FRAME_PX, furniture=furniture, colours=colours, styles=styles,
            objects_min=OBJECTS[0], objects_max=OBJECTS[1],
        )  # fmt: skip
        shown.append(as_frames(images))
        asked.append(ask(scene, number, furniture, sandbox))
    blind = iter(blind_scores([question for questions in asked for question in questions]))
    rows: list[Answered] = []
    for i, questions in enumerate(asked):
        here = said(solver, shown[i], questions)
        elsewhere = said(solver, shown[(i + ROOMS // 2) % ROOMS], questions)
        rows += [answered(q, a, b, next(blind)) for q, a, b in zip(questions, here, elsewhere, strict=True)]
    return measure(rows, checkpoint="", seed=0)


def said(solver: Solver, frames: Frames, questions: Sequence[Question]) -> list[str]:
    replies = solver.answer(frames, [prompt_text(q, "text") for q in questions])
    return [spoken(q, reply, "text") for q, reply in zip(questions, replies, strict=True)]


def table(figures: Figures) -> str:
    lines = ["| kind | questions | own frames | elsewhere | blind | seeing |", "|---|---|---|---|---|---|"]
    for part in (*figures.parts, ""):
        found = figures.of(part)
        three = " | ".join(f"{found[name].mean:.2f}" for name in ("score", "elsewhere", "blind"))
        seeing = f"{found['seeing'].mean:+.2f} ({found['seeing'].low:+.2f} to {found['seeing'].high:+.2f})"
        lines.append(f"| {part or '**macro**'} | {found['score'].questions} | {three} | {seeing} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the tiny model on rooms that it never saw, and write its card.")
    parser.add_argument("--model", type=Path, required=True, help="folder that `pretrain` wrote")
    write_card(parser.parse_args().model)


if __name__ == "__main__":
    main()
