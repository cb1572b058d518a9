"""Phase 3: training at Qwen3-VL-4B's configuration, by the `Trainer` of the stage program, one rank, ZeRO-2, random weights.

First all layers and all frames. Where the memory does not hold that, this is told, and then: a sixth and a third of the layers,
from which time and memory of all are extrapolated; and all layers with as many frames as that predicts to fit. Each try is a
process of its own. A step is what the stage's loop does: frames to pack, forward, backward, optimiser.
"""

import itertools
import json
import os
import subprocess
import sys
from statistics import median
from typing import Any

from bench.gpu.phase import Report, said
from bench.gpu.scale import FULL, SMALL, Scale

STEPS = 4
"""Timed; one more comes first, and one under the profiler last."""
MARGIN = 0.95
"""Share of the card's memory that a prediction may fill: what it leaves is for fragments and for NCCL."""
MASTER_PORT = "29872"
FRAMES_LADDER = (24, 16, 12, 8, 6, 4, 3, 2, 1)
OUT_OF_MEMORY = "out of memory"


def measure(scale: Scale, report: Report) -> None:
    whole = (scale.text_layers, scale.vision_layers)
    tries: dict[str, Any] = {}

    def attempt(layers: tuple[int, int], frames: int) -> dict[str, Any]:
        found = tries[f"{layers[0]}+{layers[1]} layers, {frames} frames"] = in_a_process(scale, *layers, frames)
        report.note(tries=tries)
        return found

    if scale.real and OUT_OF_MEMORY not in attempt(whole, scale.frames):
        return
    sixth, third = ((whole[0] // n, whole[1] // n) for n in (6, 3))
    small, large = attempt(sixth, scale.frames), attempt(third, scale.frames)
    if OUT_OF_MEMORY in small or OUT_OF_MEMORY in large:
        report.fault(f"not even a third of the layers fit into the memory with {scale.frames} frames")
        return
    report.note(extrapolated_step_s=extrapolated(small, large, "step_s"))
    if scale.real:
        report.note(extrapolated_peak_gb=extrapolated(small, large, "peak_gb"))
        report.note(predicted_frames=(predicted := frames_that_fit(small, large, scale.frames)))
        for frames in itertools.dropwhile(lambda f: f > predicted, FRAMES_LADDER):
            if OUT_OF_MEMORY not in attempt(whole, frames):
                break


def extrapolated(sixth: dict[str, Any], third: dict[str, Any], name: str) -> float:
    """All layers' figure, from those of a sixth and a third of them: what does not grow with the layers counts once."""
    return float(sixth[name] + 5 * (third[name] - sixth[name]))


def frames_that_fit(sixth: dict[str, Any], third: dict[str, Any], frames: int) -> int:
    """How many frames leave room for all layers: activations grow with frames, what was there before the first step does not."""
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

    from evolution_api.run import Training
    from evolution_jobs.train.engine import Trainer, join

    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": MASTER_PORT}
    scenes = rooms(scale, 2)
    join(cuda=scale.real)
    facts: dict[str, Any] = {}
    try:
        solver = random_solver(scale, text_layers, vision_layers)
        facts["parameters"] = sum(p.numel() for p in solver.model.parameters())
        trainer = Trainer(solver, Training(), scale.dtype)
        settle(scale)
        if scale.real:
            facts["states_gb"] = torch.cuda.memory_allocated() / 1e9
            facts["total_gb"] = torch.cuda.get_device_properties(0).total_memory / 1e9
        turn = itertools.cycle(scenes)
        losses: list[float] = []

        def step() -> None:
            scene = next(turn)
            result = trainer.step([packed(solver, scene.images[:frames], scene.pairs(15))], 1)
            losses.append(result.loss)

        took = median(seconds(scale, step, STEPS))
        pack = packed(solver, scenes[0].images[:frames], scenes[0].pairs(15))
        needed = flops.step(solver.model, pack)
        peak, most = peak_bytes(scale), flops.peak(torch.cuda.get_device_name()) if scale.real else None
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
            "losses": losses,
            "waits_for_cpu": waiting(step, took) if scale.real else None,
        }
    except torch.OutOfMemoryError as error:
        facts |= {OUT_OF_MEMORY: str(error).split(". ")[:2], "steps": len(losses) if "losses" in locals() else 0}
    return facts


def waiting(step: Any, took: float) -> float | None:
    """Share of a step's seconds in which no kernel and no copy runs: a profiled step's, over the time of one that is not."""
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        step()
        torch.cuda.synchronize()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiled.events()
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    ]
    return max(0.0, 1 - covered(spans) / 1e6 / took) if spans else None


def covered(spans: list[tuple[float, float]]) -> float:
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
