"""Confidences per second, 15 questions to a scene: packed behind one visual prefix, against one forward pass per question.

    python bench/probing.py [--scenes 6] [--frames 6] [--json]

Both ask the same tiny model (strong random weights) on one thread. `one by one` is transformers alone: chat template,
processor and forward pass of each question with all frames, nothing of this project's packing. `served twice` is what
the probe does for `seeing`: a scene's own questions and another scene's behind one prefix. Timed is everything from
frames in memory to confidences, in processor time, so that a busy machine does not count; the wall clock stands beside.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from training import QUESTIONS_PER_SCENE, scene_of

from evolution_jobs.model.prompts import answer_text, messages, prompt_text
from evolution_jobs.model.solver import Solver
from evolution_jobs.tiny import qwen3_vl

GOAL_RATIO = 8.0
GOAL_DIFFERENCE = 1e-5

Scene = tuple[list[Image], list[tuple[str, str]]]
"""Frames; prompt and true answer of each question."""


def strong_solver() -> Solver:
    with tempfile.TemporaryDirectory() as folder:
        qwen3_vl.build(Path(folder), seed=0)
        solver = Solver.load(Path(folder), "float32", "cpu")
    with torch.no_grad():
        for weights in solver.model.parameters():
            if weights.ndim > 1:
                weights *= 4  # far from uniform, so that a wrong mask or position would show in the confidences
    return solver


def scenes_of(number: int, frames: int) -> list[Scene]:
    import training

    training.FRAMES = frames
    scenes: list[Scene] = []
    seed = 0
    while len(scenes) < number:
        made = scene_of(seed)
        seed += 1
        if made is not None:
            scenes.append((made[0], [(prompt_text(q, "text"), answer_text(q, "text")) for q in made[1][:QUESTIONS_PER_SCENE]]))
    return scenes


def packed(solver: Solver, frames: list[Image], pairs: list[tuple[str, str]]) -> list[float]:
    return solver.confidences(solver.pack(frames, [p for p, _ in pairs], [a for _, a in pairs]))


@torch.no_grad()
def one_by_one(solver: Solver, frames: list[Image], pairs: list[tuple[str, str]]) -> list[float]:
    confidences = []
    for prompt, answer in pairs:
        chat = messages([{"type": "image"}] * len(frames), prompt)
        text = solver.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        inputs = solver.processor(text=[text + answer], images=frames, return_tensors="pt")
        length = len(solver.tokenizer(answer, add_special_tokens=False).input_ids)
        logits = solver.model(**inputs).logits[0, -length - 1 : -1]  # (answer tokens, V)
        chosen = logits.log_softmax(-1).gather(1, inputs["input_ids"][0, -length:, None])
        confidences.append(float(chosen.mean().exp()))
    return confidences


def timed(ask: Callable[[], list[list[float]]]) -> tuple[list[list[float]], float, float]:
    """Answers, processor seconds, wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    answers = ask()
    return answers, time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    solver, scenes = strong_solver(), scenes_of(options.scenes, options.frames)
    borrowed = scenes[1:] + scenes[:1]
    packed(solver, *scenes[0])
    one_by_one(solver, scenes[0][0], scenes[0][1][:1])
    ways: dict[str, Any] = {
        "one by one": timed(lambda: [one_by_one(solver, *scene) for scene in scenes]),
        "packed": timed(lambda: [packed(solver, *scene) for scene in scenes]),
        "served twice": timed(
            lambda: [packed(solver, frames, own + other[1]) for (frames, own), other in zip(scenes, borrowed, strict=True)]
        ),
    }
    asked = options.scenes * QUESTIONS_PER_SCENE
    rates = {name: asked * (1 + (name == "served twice")) / cpu for name, (_, cpu, _) in ways.items()}
    walls = {name: wall for name, (_, _, wall) in ways.items()}
    alone = ways["one by one"][0]
    pairs = [
        (a, b)
        for name in ("packed", "served twice")
        for these, those in zip(ways[name][0], alone, strict=True)
        for a, b in zip(these, those, strict=False)  # the borrowed questions come behind the scene's own
    ]
    difference = max(abs(a - b) for a, b in pairs)
    relative = max(abs(a / b - 1) for a, b in pairs)
    ratio = rates["packed"] / rates["one by one"]
    report = {
        "questions_per_s": rates,
        "wall_s": walls,
        "ratio": ratio,
        "largest_difference": difference,
        "largest_relative": relative,
    }
    if options.json:
        print(json.dumps(report))
        return
    for name, rate in rates.items():
        print(f"{name:14} {rate:8.1f} questions/s   {walls[name]:6.2f} s wall")
    print(f"packed against one by one: {ratio:.1f}x (goal {GOAL_RATIO:g}x)")
    print(f"largest difference of a confidence: {difference:.1e} (goal {GOAL_DIFFERENCE:g}), {relative:.1e} of itself")


if __name__ == "__main__":
    main()
