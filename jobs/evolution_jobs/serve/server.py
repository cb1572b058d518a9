"""The model behind KServe's V1 protocol: admits requests up to a bound, reads their frames, and lets one thread drain them.

    request -> admitted, or 429 -> frames read (a thread pool) -> the model's queue (one thread, one pass at a time) -> reply

Called by the program `serve`. It refuses to know storage, checkpoints and Solver: it is handed two functions. Metrics
at /metrics: waiting requests, questions, refusals, seconds in the model and seconds reading frames, beside KServe's
own.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import kserve
from fastapi import HTTPException
from kserve.errors import InvalidInput
from PIL.Image import Image
from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from evolution_api.layout import SERVED_MODEL
from evolution_jobs.scenes.library import SceneError
from evolution_jobs.serve.admission import RETRY_AFTER_S, Admission
from evolution_jobs.solver_api import UNUSABLE_SCENE, Instance, Prediction, Reply, Request
from evolution_storage.store import StorageError

MAX_WAITING = 16
"""Requests admitted at once: each may hold a scene's frames (32 of 640x480 are 30 MB), and the model takes one at a time."""
SERVICE_UNAVAILABLE = 503
GRACE_S = 2
"""From SIGTERM to the end of requests under way; the client asks again elsewhere."""

QUESTIONS = Counter("evolution_solver_questions", "Questions answered")
MODEL_SECONDS = Histogram("evolution_solver_model_seconds", "Seconds in the model for the questions of one scene")
FRAMES_SECONDS = Histogram("evolution_solver_frames_seconds", "Seconds to read the frames of one scene")

P = ParamSpec("P")
R = TypeVar("R")
ReadFrames = Callable[[str], list[Image]]
"""Scene id -> the frames that the solver sees; raises SceneError or StorageError."""
Confidences = Callable[[Sequence[Image], Sequence[str], Sequence[str]], list[float]]
"""Frames, prompts, true answers -> p of each answer."""


class SolverModel(kserve.Model):  # type: ignore[misc]
    def __init__(self, read_frames: ReadFrames, confidences: Confidences) -> None:
        super().__init__(SERVED_MODEL)
        self.read_frames = read_frames
        self.confidences = confidences
        self.admission = Admission(MAX_WAITING)
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="solver")
        self.ready = True

    async def predict(
        self,
        payload: object,
        headers: Mapping[str, str] | None = None,  # noqa: ARG002  KServe hands them over
        response_headers: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> dict[str, object]:
        try:
            request = Request.model_validate(payload)
        except ValidationError as error:
            raise InvalidInput(sentence(error)) from None
        with self.admission.admitted():
            return Reply(predictions=tuple([await self.answer(i) for i in request.instances])).model_dump(mode="json")

    async def answer(self, instance: Instance) -> Prediction:
        try:
            frames = await asyncio.to_thread(timed, FRAMES_SECONDS, self.read_frames, instance.scene)
        except SceneError as error:
            raise HTTPException(UNUSABLE_SCENE, f"scene {instance.scene}: {error}") from error
        except StorageError as error:
            raise HTTPException(SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": str(RETRY_AFTER_S)}) from error
        prompts, answers = zip(*instance.pairs, strict=True)
        loop = asyncio.get_running_loop()
        numbers = await loop.run_in_executor(self.worker, timed, MODEL_SECONDS, self.confidences, frames, prompts, answers)
        QUESTIONS.inc(len(numbers))
        return Prediction(confidences=tuple(p if math.isfinite(p) else None for p in numbers))

    def stop(self) -> None:
        super().stop()
        self.worker.shutdown(wait=False, cancel_futures=True)


def timed(histogram: Histogram, function: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    with histogram.time():
        return function(*arguments, **named)


def sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the request"
    return (
        f'{where}: {first["msg"]}; ask with {{"instances": [{{"scene": "<id>", "pairs": [["<prompt>", "<true answer>"], ...]}}]}}'
    )


def serve(model: SolverModel, port: int) -> None:
    """Answer on `port` until SIGTERM or SIGINT."""
    for chatty in ("uvicorn.access", "kserve.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    server = kserve.ModelServer(http_port=port, enable_grpc=False, enable_latency_logging=False, grace_period=GRACE_S)
    server.start([model])
