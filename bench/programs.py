"""Programs executed and validated per second on one core, against one process per program.

    python bench/programs.py [--scenes 40] [--json]

Pinned to one core (the sandbox's worker with it). Proposals of every kind over procedural rooms are made beforehand;
what is timed is `check`: the program in its own fresh sandbox session, the answer's type, all filters, the question's
record. Beside it the same programs run alone, the same with one fresh sandbox process each, and what an empty Python
process costs. Rates are per second of processor time, ours and our children's, so that a busy machine does not count;
the wall clock stands beside them.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pydantic_monty

from evolution_api.kinds import KINDS
from evolution_api.question import Proposal, Question
from evolution_api.run.generation import Filters
from evolution_api.scene import Scene
from evolution_jobs.questions.check import check
from evolution_jobs.questions.geometry import geometry
from evolution_jobs.questions.kinds import kind
from evolution_jobs.questions.sandbox import Sandbox
from evolution_jobs.scenes.render import make_scene

FRAMES = 8
PROCESSES = 40
"""Programs of the one-process-each row; each costs milliseconds."""


def proposals(scenes: list[Scene]) -> list[tuple[Proposal, Scene]]:
    rng = random.Random(0)
    made = [(kind(k).propose(s, level, rng), s) for s in scenes for k in KINDS for level in range(kind(k).LEVELS)]
    return [(p, s) for p, s in made if p is not None]


def processor_s() -> float:
    """Processor time of this process and its children, the living ones included (a sandbox worker is never waited for)."""
    ticks = 0
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return sum(os.times()[:4]) + ticks / os.sysconf("SC_CLK_TCK")


def per_second(work: Callable[[], object], n: int) -> tuple[float, float]:
    """Runs per second of processor time and per second on the wall."""
    work()  # caches and the worker's start are paid before
    repeats = 3
    wall, processor = time.perf_counter(), processor_s()
    for _ in range(repeats):
        work()
    return n * repeats / (processor_s() - processor), n * repeats / (time.perf_counter() - wall)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    asked = proposals([make_scene(seed, FRAMES)[0] for seed in range(args.scenes)])
    sandbox = Sandbox()

    def validated() -> int:
        ids: set[str] = set()
        fresh = {s.id: s.model_copy() for _, s in asked}  # nothing that the geometry library kept is of use
        results = [
            check(p, fresh[s.id], sandbox=sandbox, filters=Filters(), round_=1, proposer="bench", accepted_ids=ids)
            for p, s in asked
        ]
        return sum(isinstance(r, Question) for r in results)

    def executed() -> None:
        for p, s in asked:
            outcome = sandbox.run(p.program, s)
            assert outcome.reason is None, outcome

    def one_worker_each() -> None:
        for p, s in asked[:PROCESSES]:
            with pydantic_monty.Monty(max_processes=1) as pool, pool.checkout() as session:
                session.feed_run(p.program, external_lookup=dict(geometry(s).functions))

    def one_python_each() -> None:
        for _ in range(PROCESSES):
            subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)

    rates = {
        "executed and validated": per_second(validated, len(asked)),
        "executed alone": per_second(executed, len(asked)),
        "one sandbox process per program": per_second(one_worker_each, PROCESSES),
        "one empty Python process per program": per_second(one_python_each, PROCESSES),
    }
    if args.json:
        print(json.dumps({"programs": len(asked), "accepted": validated(), "per_second": {k: v[0] for k, v in rates.items()}}))
        return
    print(f"{len(asked)} programs of {len(KINDS)} kinds over {args.scenes} rooms, {validated()} accepted; one core")
    ours, _ = rates["executed and validated"]
    for name, (rate, wall) in rates.items():
        print(f"{name:40} {rate:8.0f} /s   {ours / rate:6.1f}x   ({wall:.0f} /s on the wall)")


if __name__ == "__main__":
    main()
