"""Phase 3: training at Qwen3-VL-4B's configuration, by the `Trainer` of the stage program, one rank, ZeRO-2, random weights.

First all layers and all frames. Where the memory does not hold that, this is told, and then: a sixth and a third of the layers,
from which time and memory of all are extrapolated; and all layers with as many frames as that predicts to fit. Each try is a
process of its own. A step is what the stage's loop does: frames to pack, forward, backward, optimiser.
"""

import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from bench.gpu.phase import Report, said
from bench.gpu.scale import FULL, SMALL, Scale

STEPS = 4
"""Timed; one more comes first, and one under the profiler last."""
MARGIN = 0.95
"""Share of the card's memory that a prediction may fill: what it leaves is for fragments and for NCCL."""
MASTER_PORT = "29872"
STEP_BYTES = 22
"""Of a parameter while ZeRO-2's AdamW steps on one rank: bfloat16 weight 2, float32 master, moments and gradient 16, and 4 for
the square root of all second moments at once."""
FRAMES_LADDER = (24, 16, 12, 8, 6, 4, 3, 2, 1)
OUT_OF_MEMORY = "out of memory"
OUT_OF_MEMORY_WORDS = (OUT_OF_MEMORY, "ALLOC_FAILED")
"""What PyTorch, CUDA and its libraries say of it."""


def measure(scale: Scale, report: Report) -> None:
    whole = (scale.text_layers, scale.vision_layers)
    tries: dict[str, Any] = {}

    def attempt(layers: tuple[int, int], frames: int) -> dict[str, Any] | None:
        """None where it did not fit, or failed for another reason, which is a fault."""
        title = f"{layers[0]}+{layers[1]} layers, {frames} frames"
        try:
            found = tries[title] = in_a_process(scale, *layers, frames)
        except RuntimeError as error:
            report.fault(f"{title}: {error}")
            return None
        report.note(tries=tries)
        if not all(map(math.isfinite, (*found.get("losses", ()), *found.get("gradient_norms", ())))):
            report.fault(f"{title}: losses {found['losses']}, gradient norms {found['gradient_norms']}; not all are numbers")
        return found if OUT_OF_MEMORY not in found else None

    if scale.real and attempt(whole, scale.frames) is not None:
        return
    sixth, third = ((whole[0] // n, whole[1] // n) for n in (6, 3))
    small, large = attempt(sixth, scale.frames), attempt(third, scale.frames)
    if small is None or large is None:
        report.fault(f"not even a third of the layers fit into the memory with {scale.frames} frames")
        return
    report.note(extrapolated_step_s=extrapolated(small, large, "step_s"))
    if not scale.real:
        return
    report.note(extrapolated_peak_gb=extrapolated(small, large, "peak_gb"))
    floor_gb = STEP_BYTES * extrapolated(small, large, "parameters") / 1e9
    if floor_gb > MARGIN * small["total_gb"]:
        report.note(all_layers=f"an optimiser step of all layers takes {floor_gb:.0f} GB whatever the frames: none was tried")
        return
    report.note(predicted_frames=(predicted := frames_that_fit(small, large, scale.frames)))
    for frames in itertools.dropwhile(lambda f: f > predicted, FRAMES_LADDER):
        if attempt(whole, frames) is not None:
            break


def extrapolated(sixth: dict[str, Any], third: dict[str, Any], name: str) -> float:
    """All layers' figure, from those of a sixth and a third of them: what does not grow with the layers counts once."""
    return float(sixth[name] + 5 * (third[name] - sixth[name]))


def frames_that_fit(sixth: dict[str, Any], third: dict[str, Any], frames: int) -> int:
    """How many frames leave room for all layers: activations grow with frames, what stays between two steps does not."""
    states, whole = (extrapolated(sixth, third, name) for name in ("states_gb", "peak_gb"))
    return int(frames * (MARGIN * sixth["total_gb"] - states) / (whole - states))


def in_a_process(scale: Scale, text_layers: int, vision_layers: int, frames: int) -> dict[str, Any]:
    """What one try measured. Raises RuntimeError where it failed for another reason than the device's memory."""
    command = [sys.executable, "-m", "bench.gpu.trainer", *map(str, (scale.device, text_layers, vision_layers, frames))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    *_, last = done.stdout.splitlines() or [""]
    if done.returncode:
        raise RuntimeError(f"a try ended with exit code {done.returncode}: {last or 'it said nothing'}")
    return dict(json.loads(last))


def train(scale: Scale, text_layers: int, vision_layers: int, frames: int) -> dict[str, Any]:
    import torch
    from bench.gpu import flops
    from bench.gpu.scale import packed, peak_bytes, random_solver, rooms, seconds, settle

    from evolution_api.run.training import Training
    from evolution_jobs.train.engine import Trainer, join

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": MASTER_PORT}
    scenes = rooms(scale, 2)
    join(cuda=scale.real)
    facts: dict[str, Any] = {"losses": [], "gradient_norms": []}
    turn = itertools.cycle(scenes)
    try:
        solver = random_solver(scale, text_layers, vision_layers)
        facts["parameters"] = sum(p.numel() for p in solver.model.parameters())
        trainer = Trainer(solver, Training(), scale.dtype)

        def step() -> None:
            scene = next(turn)
            result = trainer.step([packed(solver, scene.images[:frames], scene.pairs(15))], 1)
            facts["losses"].append(result.loss)
            facts["gradient_norms"].append(result.gradient_norm)

        step()
        settle(scale)
        if scale.real:  # after a step: DeepSpeed makes the moments in it
            facts["states_gb"] = torch.cuda.memory_allocated() / 1e9
            facts["total_gb"] = torch.cuda.get_device_properties(0).total_memory / 1e9
        took = median(seconds(scale, step, STEPS, warm=False))
        pack = packed(solver, scenes[0].images[:frames], scenes[0].pairs(15))
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY_WORDS):
            raise
        return facts | {OUT_OF_MEMORY: str(error).split(". ")[:2]}
    needed, peak = flops.step(solver.model, pack), peak_bytes(scale)
    most = flops.peak(torch.cuda.get_device_name()) if scale.real else None
    facts |= {
        "step_s": took,
        "tokens": len(pack.input_ids),
        "tokens_per_s": len(pack.input_ids) / took,
        "questions_per_s": 15 / took,
        "pack_s": median(seconds(scale, lambda: packed(solver, scenes[0].images[:frames], scenes[0].pairs(15)), 2)),
        "model_tflop": needed / 1e12,
        "tflop_per_s": needed / took / 1e12,
        "mfu": needed / took / most if most else None,
        "peak_gb": peak / 1e9 if peak is not None else None,
    }
    if scale.real:
        try:
            facts |= profiled(step, took)
        except Exception as error:  # what was measured without the profiler stands
            facts["profiler"] = said(error)
    return facts


def profiled(step: Callable[[], None], took: float) -> dict[str, Any]:
    """Share of a step's seconds in which no kernel and no copy runs: a profiled step's, over the time of one that is not; and
    which kernels take longest."""
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    kernels = [
        (event.name, event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    if not kernels:
        return {"profiler": "it saw no kernel"}
    by_name: Counter[str] = Counter()
    for name, start, end in kernels:
        by_name[name[:80]] += end - start
    return {
        "waits_for_cpu": max(0.0, 1 - covered([span for _, *span in kernels]) / 1e6 / took),
        "longest_kernels_ms": {name: round(us / 1e3, 1) for name, us in by_name.most_common(5)},
    }


def covered(spans: Iterable[Sequence[float]]) -> float:
    """Length of the union of spans (start, end)."""
    length, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        length += max(0.0, end - max(start, until))
        until = max(until, end)
    return length


if __name__ == "__main__":
    device, *numbers = sys.argv[1:]
    try:
        print("\n" + json.dumps(train(FULL if device == "cuda" else SMALL, *map(int, numbers))))
    except Exception as error:
        print("\n" + said(error))
        raise
