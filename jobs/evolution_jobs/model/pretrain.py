"""Pre-train the tiny model to see: first its vision tower alone (`looking`), then all of it on questions of every kind.

Reads   nothing: rooms, questions and answers are made on the way, in a process of their own.
Writes  <out>/  weights, processor and README.md (the model card with its scores), <out>.log with one line every LOG_EVERY steps

    python -m evolution_jobs.model.pretrain --out examples/tiny-model --minutes 30 --seed 0

glibc gives memory back to the kernel so eagerly that such training spends much of its time in page faults; this program
starts itself again with MALLOC settings that stop it.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import os
import pickle
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from evolution_jobs.model import tiny
from evolution_jobs.model.card import TRAINING_FILE, write_card
from evolution_jobs.model.curriculum import NAMING, Lesson, lesson, names
from evolution_jobs.model.looking import look
from evolution_jobs.model.packing import Pack
from evolution_jobs.model.prompts import answer_text, prompt_text
from evolution_jobs.model.solver import Solver
from evolution_jobs.questions.sandbox import Sandbox

LOOKING = 0.2
"""Share of the time in which the vision tower learns alone."""
SCENES_A_STEP = 4
LEARNING_RATE = 1e-3
TOKENS_A_SCENE = 360
"""Of questions and answers, the chat template's not counted: about 13 questions."""
WEIGHT_DECAY = 0.02
BETAS = (0.9, 0.98)
CLIP = 1.0
WARMUP_STEPS = 100
STEPS_AHEAD = 8
"""Steps whose rooms are made while the model trains."""
LOG_EVERY = 50
SAVE_EVERY = 500
"""Steps between two saves of the weights on the way."""
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 28)}

Batch = list[tuple[Pack, list[str]]]
"""Per scene: its pack, and the kind of each question."""


def make_batches(solver: Solver, seed: int, sink: Any) -> None:
    """The other process: packs, pickled by value (torch's own pickling would pass them through shared memory, one file each)."""
    torch.set_num_threads(1)
    sandbox = Sandbox()
    for first in itertools.count(0, SCENES_A_STEP):
        batch: Batch = []
        for number in range(first, first + SCENES_A_STEP):
            batch.append(packed(solver, lesson(number, seed, sandbox)))
        sink.put(pickle.dumps(batch))


def packed(solver: Solver, made: Lesson) -> tuple[Pack, list[str]]:
    """The lesson's frames, what is in view in them to be named, and its questions as far as they fit."""
    asked = [(NAMING, names(made.scene), "naming")]
    asked += [(prompt_text(q, "text"), answer_text(q, "text"), q.kind) for q in made.questions]
    chosen, used = [], 0
    for prompt, answer, kind in asked:
        tokens = len(solver.tokenizer(f"{prompt} {answer}").input_ids)
        if answer and used + tokens <= TOKENS_A_SCENE:  # packs of one length waste little on padding
            chosen.append((prompt, answer, kind))
            used += tokens
    prompts, answers, kinds = ([c[i] for c in chosen] for i in range(3))
    return solver.pack(made.frames, prompts, answers), kinds


def batches(solver: Solver, seed: int) -> Iterator[Batch]:
    context = multiprocessing.get_context("fork")
    queue = context.Queue(maxsize=STEPS_AHEAD)
    maker = context.Process(target=make_batches, args=(solver, seed, queue), daemon=True)
    maker.start()
    try:
        while True:
            yield pickle.loads(queue.get(timeout=120))  # noqa: S301 - our own process wrote it
    finally:
        maker.terminate()


def pretrain(solver: Solver, seconds: float, seed: int, out: Path) -> int:
    """Train until the time is up, cosine to zero over it; returns the number of steps."""
    model = solver.model.train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)
    started = time.monotonic()
    losses: dict[str, list[float]] = defaultdict(list)
    trained = 0
    with out.with_name(f"{out.name}.log").open("w") as lines:
        for step, batch in enumerate(batches(solver, seed), 1):
            passed = (time.monotonic() - started) / seconds
            if passed >= 1:
                break
            rate = LEARNING_RATE * min(1, step / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * passed))
            for group in optimizer.param_groups:
                group["lr"] = rate
            per_question = solver.log_probabilities(*(pack for pack, _ in batch))
            loss = -torch.cat(per_question).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad()
            for kind, tokens in zip((k for _, kinds in batch for k in kinds), per_question, strict=True):
                losses[kind].append(-float(tokens.detach()[:-1].sum()))
            if step % LOG_EVERY == 0:
                line = {"step": step, "minutes": round(passed * seconds / 60, 2), "rate": rate}
                lines.write(json.dumps(line | {k: round(sum(v) / len(v), 3) for k, v in sorted(losses.items())}) + "\n")
                lines.flush()
                losses.clear()
            trained = step
            if step % SAVE_EVERY == 0:
                model.save_pretrained(out)
    model.eval()
    return trained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, processor and card")
    parser.add_argument("--minutes", type=float, default=30.0, help="time to train, evaluation not included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of the training process; one more process makes rooms")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, "-m", "evolution_jobs.model.pretrain", *sys.argv[1:]], os.environ | MALLOC)  # noqa: S606
    torch.set_num_threads(options.threads)
    solver = Solver(tiny.model(options.seed), tiny.processor())
    solver.processor.save_pretrained(options.out)
    seconds = options.minutes * 60
    looked = look(solver.model, solver.processor.image_processor, LOOKING * seconds, options.seed)
    steps = pretrain(solver, (1 - LOOKING) * seconds, options.seed, options.out)
    solver.model.save_pretrained(options.out)
    training = {
        "looking_steps": looked,
        "steps": steps,
        "scenes": SCENES_A_STEP,
        "rooms": steps * SCENES_A_STEP,
        "minutes": options.minutes,
        "seed": options.seed,
        "note": "",
    }
    (options.out / TRAINING_FILE).write_text(json.dumps(training) + "\n")
    write_card(options.out)


if __name__ == "__main__":
    main()
