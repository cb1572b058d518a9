"""Phase 5: questions a second through our model server, and how long a request waits, at 1, 8 and 32 requests at once.

The server is `serve.server` around a solver of random weights, in a process of its own; it is asked by the probe's own client, 15
questions a request. It admits 16 requests and turns more away for the moment, which the client bears: that waiting counts.
"""

import asyncio
import multiprocessing
import statistics
import time
from typing import Any

import httpx
from bench.gpu.check import CARRIED
from bench.gpu.phase import Report
from bench.gpu.programs import free_port
from bench.gpu.scale import QUESTIONS_PER_SCENE, Room, Scale, need_memory, packed, random_solver, rooms

from evolution_api.run.scenes import Scenes
from evolution_jobs.solver_api import SolverClient

AT_ONCE = {1: 3, 8: 8, 32: 32}
"""Requests at once -> requests in all."""
READY_WITHIN_S = {"cuda": 50, "cpu": 500}
TIMEOUT_S = {"cuda": 60.0, "cpu": 600.0}
"""By the scale's device: a busy machine is no fault."""
NEEDED_BYTES = 14 * 10**9


def server(scale: Scale, port: int) -> None:

    from evolution_jobs.scene_batches import frames_shown
    from evolution_jobs.scenes.library import SceneLibrary
    from evolution_jobs.serve.server import SolverModel, serve

    library = SceneLibrary((CARRIED / scale.rooms).as_uri())
    solver = random_solver(scale)
    shown = Scenes(uri=library.root_uri, frames_per_scene=scale.frames)
    model = SolverModel(
        read_frames=lambda scene: frames_shown(library, shown, scene),
        confidences=lambda frames, prompts, answers: solver.confidences(
            packed(solver, frames, list(zip(prompts, answers, strict=True)))
        ),
    )
    serve(model, port)


def wait_until_ready(url: str, process: Any, within_s: float) -> None:
    """Raises RuntimeError where the server ends or is not ready in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not process.is_alive():
            raise RuntimeError(f"the model server ended with exit code {process.exitcode}; see the log")
        try:
            if httpx.get(f"{url}/v1/models/solver", trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"the model server was not ready within {within_s} s")


async def ask(url: str, asked: list[Room], at_once: int, requests: int, timeout_s: float) -> list[float]:
    """Seconds that each request took."""
    free = asyncio.Semaphore(at_once)
    async with SolverClient(url, timeout_s) as client:

        async def one(number: int) -> float:
            room = asked[number % len(asked)]
            async with free:
                started = time.perf_counter()
                answers = await client.confidences(room.id, room.pairs(QUESTIONS_PER_SCENE))
            if None in answers:
                raise RuntimeError(f"the server answered without a number: {answers}")
            return time.perf_counter() - started

        return list(await asyncio.gather(*(one(number) for number in range(requests))))


def measure(scale: Scale, report: Report) -> None:
    need_memory(scale, NEEDED_BYTES, "serving Qwen3-VL-4B")
    asked = rooms(scale, 4)
    port, timeout_s = free_port(), TIMEOUT_S[scale.device]
    url = f"http://127.0.0.1:{port}"
    process = multiprocessing.get_context("spawn").Process(target=server, args=(scale, port))
    process.start()
    try:
        wait_until_ready(url, process, READY_WITHIN_S[scale.device])
        asyncio.run(ask(url, asked, 1, 1, timeout_s))
        for at_once, requests in AT_ONCE.items():
            started = time.perf_counter()
            waits = asyncio.run(ask(url, asked, at_once, requests, timeout_s))
            cuts = statistics.quantiles(waits, n=20, method="inclusive")
            rate = requests * QUESTIONS_PER_SCENE / (time.perf_counter() - started)
            report.note(**{f"{at_once} at once": {"questions_per_s": rate, "p50_s": cuts[9], "p95_s": cuts[18]}})
    finally:
        process.terminate()
        process.join()
