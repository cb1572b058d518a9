"""Questions trained on per second, 15 to a scene: packed behind one visual prefix, against TRL's SFTTrainer one by one.

    python bench/training.py [--steps 12] [--scenes-per-step 4] [--json]

Both train the same tiny model (random weights) on the same questions in the same order, with the same learning rate, AdamW,
gradient clipping and loss (mean over the answer tokens of the global batch), each in a process of its own on one thread.
TRL gets the global batch in one forward pass, for where it accumulates it averages the passes' means, which is another loss
(in passes of 15 questions it is about a fifth faster). Timed is a whole optimiser step, from frames in memory (TRL: from its
dataset) to updated weights, in processor time, so that a busy machine does not count; the wall clock stands beside it. The first
step is left out.
"""

import argparse
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from PIL.Image import Image

from evolution_api.question import Question
from evolution_api.scene import Scene

FRAMES = 6
QUESTIONS_PER_SCENE = 15
LEARNING_RATE = 1e-3
GOAL_RATIO = 5.0
GOAL_LOSS = 1e-4


def questions_of(scene: Scene, count: int, rng: random.Random) -> list[Question]:
    """The first `count` questions of the scene that pass every filter, all kinds and levels in turn; fewer where it has fewer."""
    from evolution_api.kinds import KINDS
    from evolution_api.run.generation import Filters, Sandbox
    from evolution_jobs.questions import sandbox
    from evolution_jobs.questions.check import check
    from evolution_jobs.questions.kinds import kind

    programs = sandbox.Sandbox(Sandbox())
    accepted: dict[str, Question] = {}
    for level in range(5 * math.ceil(count / QUESTIONS_PER_SCENE)):
        for name in KINDS:
            proposal = kind(name).propose(scene, min(level % 5, kind(name).LEVELS - 1), rng)
            if proposal is None:
                continue
            result = check(
                proposal, scene, sandbox=programs, filters=Filters(), round_=1, proposer="bench", accepted_ids=set(accepted)
            )
            if isinstance(result, Question):
                accepted[result.id] = result
    return list(accepted.values())[:count]


def scene_of(number: int) -> tuple[list[Image], list[Question]] | None:
    """A room's frames and QUESTIONS_PER_SCENE accepted questions; None where it has fewer."""
    import PIL.Image

    from evolution_jobs.scenes.render import make_scene

    scene, frames = make_scene(number, FRAMES, 64, 64, scene_id=f"room-{number}")
    questions = questions_of(scene, QUESTIONS_PER_SCENE, random.Random(number))
    if len(questions) < QUESTIONS_PER_SCENE:
        return None
    return [PIL.Image.fromarray(frame) for frame in frames], questions


def scenes(count: int) -> Iterator[tuple[list[Image], list[Question]]]:
    number = 0
    while count:
        if (made := scene_of(number)) is not None:
            count -= 1
            yield made
        number += 1


def clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def packed(base: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Ours, through the same Trainer as the stage program."""
    from evolution_api.run.training import DeepSpeed, Training
    from evolution_jobs.model.prompts import answer_text, prompt_text
    from evolution_jobs.model.solver import Solver
    from evolution_jobs.train.engine import Trainer, join

    data = list(scenes(options.steps * options.scenes_per_step))
    os.environ.update(
        RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", LOCAL_WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="29871"
    )
    join(cuda=False)
    training = Training(learning_rate=LEARNING_RATE, micro_batch_size=options.scenes_per_step, deepspeed=DeepSpeed(zero_stage=2))
    solver = Solver.load(base, "float32", "cpu")
    trainer = Trainer(solver, training, "float32")
    losses, times = [], [clocks()]
    for step in range(options.steps):
        chosen = data[step * options.scenes_per_step :][: options.scenes_per_step]
        packs = [
            solver.pack(images, [prompt_text(q, "text") for q in questions], [answer_text(q, "text") for q in questions])
            for images, questions in chosen
        ]
        losses.append(trainer.step(packs, len(packs)).loss)
        times.append(clocks())
    return {"losses": losses, "times": times}


def one_by_one(base: Path, options: argparse.Namespace) -> dict[str, Any]:
    """TRL, one question with its own copy of the frames a sample."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as ImageColumn
    from transformers import AutoProcessor, TrainerCallback
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLForConditionalGeneration
    from trl import SFTConfig, SFTTrainer

    from evolution_jobs.model.prompts import answer_text, messages, prompt_text

    message = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})
    features = Features({"images": List(ImageColumn()), "prompt": message, "completion": message})
    rows = [
        {
            "images": images,
            "prompt": messages([{"type": "image"}] * len(images), prompt_text(question, "text")),
            "completion": [{"role": "assistant", "content": [{"type": "text", "text": answer_text(question, "text")}]}],
        }
        for images, questions in scenes(options.steps * options.scenes_per_step)
        for question in questions
    ]
    losses: list[float] = []
    times = [clocks()]

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            times[0] = clocks()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(clocks())

        def on_log(self, *_: Any, logs: dict[str, Any], **__: Any) -> None:
            if "loss" in logs:
                losses.append(float(logs["loss"]))

    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=options.scenes_per_step * QUESTIONS_PER_SCENE,
            max_steps=options.steps,
            train_sampling_strategy="sequential",
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            optim="adamw_torch",
            weight_decay=0.0,
            max_grad_norm=1.0,
            max_length=None,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            logging_steps=1,
            logging_strategy="steps",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=Qwen3VLForConditionalGeneration.from_pretrained(base),
            processing_class=AutoProcessor.from_pretrained(base),
            args=config,
            train_dataset=Dataset.from_list(rows, features=features),
            callbacks=[Watch()],
        )
        trainer.train()
    return {"losses": losses, "times": times}


def measured(name: str, base: Path, arguments: list[str]) -> dict[str, Any]:
    """Run this file again for one side; what it measured is the last line that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--side", name, "--base", str(base), *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def rate(times: list[list[float]], clock: int, questions: int) -> float:
    """Questions per second of the median step, the first left out."""
    return questions / median(after[clock] - before[clock] for before, after in itertools.pairwise(times[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--scenes-per-step", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=("packed", "one_by_one"), help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        result = {"packed": packed, "one_by_one": one_by_one}[options.side](options.base, options)
        print("\n" + json.dumps(result))
        return

    from evolution_jobs.tiny import qwen3_vl

    with tempfile.TemporaryDirectory() as folder:
        qwen3_vl.build(Path(folder))
        sides = {name: measured(name, Path(folder), sys.argv[1:]) for name in ("packed", "one_by_one")}
    questions = options.scenes_per_step * QUESTIONS_PER_SCENE
    cpu = {name: rate(side["times"], 0, questions) for name, side in sides.items()}
    wall = {name: rate(side["times"], 1, questions) for name, side in sides.items()}
    ratio = cpu["packed"] / cpu["one_by_one"]
    apart = max(abs(a - b) for a, b in zip(sides["packed"]["losses"], sides["one_by_one"]["losses"], strict=True))
    if options.json:
        print(json.dumps({"per_cpu_second": cpu, "per_second": wall, "ratio": ratio, "loss_difference": apart}))
        return
    print(f"\n{'':24}{'questions/cpu-s':>16}{'questions/s':>13}{'last loss':>11}")
    for name, side in sides.items():
        label = {"packed": "packed (ours)", "one_by_one": "TRL SFTTrainer"}[name]
        print(f"{label:24}{cpu[name]:16.1f}{wall[name]:13.1f}{side['losses'][-1]:11.5f}")
    print(f"ratio {ratio:.1f} (goal {GOAL_RATIO:.0f})")
    print(f"largest difference of losses {apart:.1e} over {options.steps} steps (goal {GOAL_LOSS})")
    sys.exit(0 if ratio >= GOAL_RATIO and apart <= GOAL_LOSS else 1)


if __name__ == "__main__":
    main()
