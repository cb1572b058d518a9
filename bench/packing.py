"""Probing 15 questions a scene behind one visual prefix, against one forward pass per question.

Goal: at least 8 times as many questions a second, confidences equal to 1e-5.

    python bench/packing.py [--model examples/tiny-model] [--scenes 12] [--threads 1]

Same model, same machine, one run. Both sides start from decoded frames and question texts and end with a confidence per
question. The other side is what a server does that gets one question a request: the stock processor and forward pass.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from PIL.Image import Image

from evolution_jobs.model.curriculum import OPENING_ROOMS, lessons
from evolution_jobs.model.prompts import answer_text, prompt_text
from evolution_jobs.model.solver import Solver
from evolution_jobs.questions.sandbox import Sandbox

QUESTIONS = 15
Asked = list[tuple[list[Image], list[str], list[str]]]
"""Per scene: frames, prompts, answers."""


def one_by_one(solver: Solver, images: list[Image], prompt: str, answer: str) -> float:
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": prompt}]
    text = solver.processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    inputs = solver.processor(text=[text + answer], images=images, return_tensors="pt")
    ids = torch.tensor(solver.tokenizer(answer).input_ids)
    with torch.no_grad():
        logits = solver.model(**inputs, logits_to_keep=len(ids) + 1, use_cache=False).logits[0, :-1].float()
    return float(logits.log_softmax(-1)[torch.arange(len(ids)), ids].mean().exp())


def scenes(number: int) -> Asked:
    """Rooms with at least QUESTIONS questions, cut to so many."""
    sandbox, asked, next_room = Sandbox(), [], OPENING_ROOMS
    while len(asked) < number:
        (made,) = lessons(next_room, 1, sandbox)
        next_room += 1
        chosen = made.questions[:QUESTIONS]
        if len(chosen) == QUESTIONS:
            prompts = [prompt_text(q, "text") for q in chosen]
            asked.append((made.frames, prompts, [answer_text(q, "text") for q in chosen]))
    return asked


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("examples/tiny-model"))
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    solver = Solver.load(options.model, "float32", "cpu")
    asked = scenes(options.scenes)
    seconds = {"packed": 0.0, "one by one": 0.0}
    apart = 0.0
    for i, (images, prompts, answers) in enumerate(asked[:1] + asked):  # the first once more, to warm up
        started = time.perf_counter()
        packed = solver.confidences(solver.pack(images, prompts, answers))
        between = time.perf_counter()
        single = [one_by_one(solver, images, p, a) for p, a in zip(prompts, answers, strict=True)]
        ended = time.perf_counter()
        apart = max(apart, *(abs(a - b) for a, b in zip(packed, single, strict=True)))
        if i:
            seconds["packed"] += between - started
            seconds["one by one"] += ended - between
    questions = options.scenes * QUESTIONS
    rates = {name: round(questions / s, 1) for name, s in seconds.items()}
    ratio = seconds["one by one"] / seconds["packed"]
    print(f"questions/s: packed {rates['packed']}, one by one {rates['one by one']}: {ratio:.1f} times (goal 8)")
    print(f"confidences apart by at most {apart:.1e} (goal 1e-5)")
    print(json.dumps({"bench": "packing", "questions_per_s": rates, "ratio": round(ratio, 2), "apart": apart}))


if __name__ == "__main__":
    main()
