"""Pre-train the tiny model to see: first its vision tower alone (`dense_supervision`), then all of it on questions of every kind.

Reads   nothing: rooms, questions and answers are made on the way.
Writes  <out>/  weights, processor and README.md (the model card with its scores), <out>.log with one line every LOG_EVERY steps

    python -m evolution_jobs.tiny.pretrain --out examples/tiny-model --minutes 60 --seed 0

glibc gives memory back to the kernel so eagerly that such training spends much of its time in page faults; this program
starts itself again with MALLOC settings that stop it.
"""

import argparse
import itertools
import json
import logging
import math
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import torch

from evolution_jobs.model.packing import Pack
from evolution_jobs.model.solver import Solver
from evolution_jobs.questions.sandbox import Sandbox
from evolution_jobs.tiny import qwen3_vl
from evolution_jobs.tiny.card import TRAINING_FILE, write_card
from evolution_jobs.tiny.curriculum import FURNITURE, LEFT_OUT_FURNITURE, Lesson, lesson
from evolution_jobs.tiny.dense_supervision import Sight, look, view
from evolution_jobs.tiny.ranks import Ranks, run_ranks

LOOKING = 0.2
"""Share of the time in which the vision tower learns alone."""
SCENES_A_STEP = 4
"""Of each rank."""
LEARNING_RATE = 1e-3
SIGHT = 0.5
"""Weight of what the visual tokens show, beside the mean loss of the answers' tokens."""
TOKENS_A_SCENE = 360
"""Of questions and answers, the chat template's not counted: about 13 questions."""
UNSPOKEN_NOISE = 0.5
"""Of a left-out word's embedding around the mean of furniture, in standard deviations of its words."""
WEIGHT_DECAY = 0.02
BETAS = (0.9, 0.98)
WARMUP_STEPS = 100
LOG_EVERY = 50
SAVE_EVERY = 500
"""Steps between two saves of the weights on the way."""
MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 28)}


def packed(solver: Solver, made: Lesson) -> tuple[Pack, list[str]]:
    """The lesson's frames and what is asked, as far as it fits; and the kind of each question."""
    chosen, used = [], 0
    for prompt, answer, kind in made.asked:
        tokens = len(solver.tokenizer(f"{prompt} {answer}").input_ids)
        if used + tokens <= TOKENS_A_SCENE:  # packs of one length waste little on padding
            chosen.append((prompt, answer, kind))
            used += tokens
    prompts, answers, kinds = ([c[i] for c in chosen] for i in range(3))
    return solver.pack(made.frames, prompts, answers), kinds


def train(solver: Solver, sight: Sight, seconds: float, seed: int, out: Path, ranks: Ranks) -> int:
    """Train until the time is up, cosine to zero over it; returns the number of steps."""
    model, sandbox = solver.model.train(), Sandbox()
    seen = []
    model.model.visual.register_forward_hook(
        lambda _module, _inputs, output: seen.append((output.pooler_output, output.deepstack_features[0]))
    )
    parameters = [*model.parameters(), *sight.parameters()]
    decayed = [p for p in parameters if p.ndim > 1]
    rest = [p for p in parameters if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)
    started = time.monotonic()
    losses: dict[str, list[float]] = defaultdict(list)
    passed = 0.0
    with out.with_name(f"{out.name}.log").open("a") as lines:
        for step in itertools.count():
            if passed >= 1:
                return step
            rate = LEARNING_RATE * min(1, (step + 1) / WARMUP_STEPS) * 0.5 * (1 + math.cos(math.pi * passed))
            for group in optimizer.param_groups:
                group["lr"] = rate
            numbers = ranks.numbers(step, SCENES_A_STEP)
            batch = [packed(solver, lesson(number, seed, sandbox)) for number in numbers]
            views = [view(number, seed) for number in numbers]
            per_question = solver.log_probabilities(*(pack for pack, _ in batch))
            looked = sight.loss(*seen.pop(), torch.cat([v[1] for v in views]), torch.cat([v[2] for v in views]))
            loss = SIGHT * looked - torch.cat(per_question).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            passed = ranks.step(optimizer, (time.monotonic() - started) / seconds)
            losses["sight"].append(looked.item())
            for kind, tokens in zip((k for _, kinds in batch for k in kinds), per_question, strict=True):
                losses[kind].append(-float(tokens.detach()[:-1].sum()))
            if (step + 1) % LOG_EVERY == 0 and not ranks.rank:
                line = {"step": step + 1, "minutes": round(passed * seconds / 60, 2), "rate": rate}
                lines.write(json.dumps(line | {k: round(sum(v) / len(v), 3) for k, v in sorted(losses.items())}) + "\n")
                lines.flush()
                losses.clear()
            if (step + 1) % SAVE_EVERY == 0 and not ranks.rank:
                model.save_pretrained(out)
    raise AssertionError


@torch.no_grad()
def level_unspoken(solver: Solver, seed: int) -> None:
    """Give every word that only left-out furniture has an embedding among those of the spoken furniture.

    A word that is never an answer is pushed away from all answers, step after step, until fine-tuning cannot say it for a
    thousand steps; the mean of like words is where a new word is best begun (Hewitt 2021, "Initializing New Word Embeddings
    for Pretrained Language Models").
    """
    table = solver.model.get_input_embeddings().weight
    spoken, left_out = (_tokens(solver, labels) for labels in (FURNITURE, LEFT_OUT_FURNITURE))
    unspoken = sorted(left_out - spoken)
    like = table[sorted(spoken)]
    noise = torch.randn(len(unspoken), table.shape[1], generator=torch.Generator().manual_seed(seed))
    table[unspoken] = like.mean(0) + UNSPOKEN_NOISE * like.std(0) * noise


def _tokens(solver: Solver, labels: Iterable[str]) -> set[int]:
    return {token for label in labels for token in solver.tokenizer(label, add_special_tokens=False).input_ids}


def pretrain(ranks: Ranks, out: Path, minutes: float, seed: int) -> None:
    """One rank's part of all of it; the first writes weights, processor and what the card says of the training."""
    if not ranks.rank:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    solver = Solver(qwen3_vl.model(seed), qwen3_vl.processor())
    sight = Sight(solver.model, solver.tokenizer, seed)
    looked = look(solver.model, sight, solver.processor.image_processor, LOOKING * minutes * 60, seed, ranks)
    steps = train(solver, sight, (1 - LOOKING) * minutes * 60, seed, out, ranks)
    if not ranks.rank:
        level_unspoken(solver, seed)
        solver.model.save_pretrained(out)
        solver.processor.save_pretrained(out)
        rooms = SCENES_A_STEP * ranks.world
        training = {
            "looking_steps": looked,
            "steps": steps,
            "scenes": rooms,
            "rooms": steps * rooms,
            "minutes": minutes,
            "seed": seed,
        }
        (out / TRAINING_FILE).write_text(json.dumps(training) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, processor and card")
    parser.add_argument("--minutes", type=float, default=60.0, help="time to train, evaluation not included")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="that train together, one thread each")
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):
        os.execve(sys.executable, [sys.executable, "-m", "evolution_jobs.tiny.pretrain", *sys.argv[1:]], os.environ | MALLOC)  # noqa: S606
    options.out.mkdir(parents=True, exist_ok=True)
    run_ranks(options.processes, pretrain, options.out, options.minutes, options.seed)
    write_card(options.out)


if __name__ == "__main__":
    main()
