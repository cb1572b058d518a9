"""Phase 4: confidences of 15 and of 64 questions behind one visual prefix, against one forward pass for each.

Timed is everything from frames in memory to confidences, as the model server does it. Asked one by one are the 15, and every
fourth of the 64.
"""

import math
from collections.abc import Iterable
from statistics import median
from typing import Any

from bench.gpu.phase import Report
from bench.gpu.scale import Room, Scale, need_memory, packed, peak_bytes, random_solver, rooms, seconds, settle

from evolution_jobs.model.solver import Solver

PACKED = (15, 64)
EVERY = 4
REPEATS = 3
NEEDED_BYTES = 14 * 10**9
"""Weights of 8.9 GB, and a forward pass over one pack."""
BOUNDS = {"float32": 1e-4, "bfloat16": 1.0}
"""Largest difference of a mean log-probability, nats. Random weights are bfloat16's worst case, with true answers at 12 to 25
nats: on CPUs 0.06 was seen with 4 layers and 0.09 with 12; a wrong mask or position makes several."""


def measure(scale: Scale, report: Report) -> None:
    need_memory(scale, NEEDED_BYTES, "scoring with Qwen3-VL-4B")
    (room,) = rooms(scale, 1, max(PACKED))
    solver = random_solver(scale)
    for count in PACKED:
        if len(room.questions) < count:
            report.fault(f"room {room.id} gave {len(room.questions)} of {count} questions; see bench/gpu/carry.py")
            return
        found = compared(scale, solver, room, count)
        report.note(**{f"{count} questions": found})
        apart = found["largest_log_p_difference"]
        if not apart <= BOUNDS[scale.dtype]:
            report.fault(
                f"{count} questions packed differ from one by one by {apart:.2g} nats; at most {BOUNDS[scale.dtype]} is right"
            )


def compared(scale: Scale, solver: Solver, room: Room, count: int) -> dict[str, Any]:
    """The first `count` questions behind one prefix, and all of them or every EVERYth alone."""
    pairs = room.pairs(count)
    picked = range(0, count, EVERY if count > PACKED[0] else 1)
    together: list[float] = []
    alone: dict[int, float] = {}

    def ask_packed() -> None:
        together[:] = solver.confidences(packed(solver, room.images, pairs))

    def ask_alone(numbers: Iterable[int]) -> None:
        for number in numbers:
            (alone[number],) = solver.confidences(packed(solver, room.images, [pairs[number]]))

    settle(scale)
    packed_s = median(seconds(scale, ask_packed, REPEATS))
    peak = peak_bytes(scale)
    ask_alone([0])
    alone_s = seconds(scale, lambda: ask_alone(picked), 1, warm=False)[0] / len(picked)
    return {
        "packed_per_s": count / packed_s,
        "one_by_one_per_s": 1 / alone_s,
        "ratio": count / packed_s * alone_s,
        "peak_gb": peak / 1e9 if peak is not None else None,
        "largest_log_p_difference": max(abs(math.log(together[number]) - math.log(p)) for number, p in alone.items()),
    }
