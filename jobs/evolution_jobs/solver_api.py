"""How the probe asks the solver's model server: the messages and the client that does not give up early.

    POST /v1/models/solver:predict
    {"instances": [{"scene": "room-0007", "pairs": [["<prompt>", "<true answer>"], ...]}]}
    -> {"predictions": [{"confidences": [0.83, ...]}]}

An instance names the scene whose frames are shown instead of carrying them: both ends can read the run's storage, 32
frames of 640x480 would be 10 MB and more of base64 a request, and another scene's frames (for `seeing`) are just
another name. The server (`evolution_jobs.serve`) shares the messages; neither end is known here.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx
from pydantic import Field, ValidationError

from evolution_api.closed import Record
from evolution_api.layout import SERVED_MODEL
from evolution_jobs.program import log
from evolution_jobs.scene_batches import MAX_QUESTIONS

PREDICT_PATH = f"/v1/models/{SERVED_MODEL}:predict"

FIRST_WAIT_S = 0.1
MAX_WAIT_S = 5.0
"""The wait between tries doubles from the first to this."""
CONNECT_TIMEOUT_S = 10.0
SHOWN_CHARACTERS = 500
"""How much of a refusal is repeated in an error."""

UNUSABLE_SCENE = 422
"""The server cannot read the scene's frames, and asking again will not change that."""
TOO_MANY_REQUESTS = 429
MAX_INSTANCES = 16
"""Scenes in one request: one of any size would keep the model from all others for as long as it likes."""


class Instance(Record):
    scene: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Id of the scene whose frames are shown."""
    pairs: tuple[tuple[str, str], ...] = Field(min_length=1, max_length=MAX_QUESTIONS)
    """Prompt and true answer, of each question asked before these frames."""


class Request(Record):
    instances: tuple[Instance, ...] = Field(min_length=1, max_length=MAX_INSTANCES)


class Prediction(Record):
    confidences: tuple[float | None, ...]
    """Of each pair, p = exp(mean log-probability of the answer's tokens); None where the model computed no number."""


class Reply(Record):
    predictions: tuple[Prediction, ...]


class UnusableSceneError(ValueError):
    """The server says that this scene's frames cannot be used."""


class SolverClient:
    """Asks one server; an asynchronous context manager, for it holds connections."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        # The server is a neighbour in the cluster or on the loopback, never behind the proxy that the environment may name.
        self.http = httpx.AsyncClient(trust_env=False)
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every request, and every one that is asked again

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.http.aclose()

    async def confidences(self, scene: str, pairs: Sequence[tuple[str, str]]) -> tuple[float | None, ...]:
        """The confidence in each pair's answer, asked again while the server is away, busy or failing.

        Raises UnusableSceneError; TimeoutError after `timeout_s`; RuntimeError for a refusal that waiting does not mend.
        """
        body = Request(instances=(Instance(scene=scene, pairs=tuple(pairs)),)).model_dump_json()
        deadline = time.monotonic() + self.timeout_s
        wait_s = FIRST_WAIT_S
        while True:
            pause_s = wait_s
            try:
                response = await self._post(body, max(deadline - time.monotonic(), FIRST_WAIT_S))
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if response.status_code == httpx.codes.OK:
                    return self._read(response, len(pairs))
                trouble = f"HTTP {response.status_code}: {response.text[:SHOWN_CHARACTERS]}"
                if response.status_code == UNUSABLE_SCENE:
                    raise UnusableSceneError(response.text[:SHOWN_CHARACTERS])
                if response.status_code != TOO_MANY_REQUESTS and not response.is_server_error:
                    raise RuntimeError(f"the solver's server at {self.url} refused a question about scene {scene}: {trouble}")
                pause_s = _seconds(response.headers.get("Retry-After"), wait_s)
            if time.monotonic() + pause_s >= deadline:
                raise TimeoutError(
                    f"the solver's server at {self.url} did not answer within probe.timeoutSeconds = {self.timeout_s:g} "
                    f"(last: {trouble}); see the log of the server's pods, or raise probe.timeoutSeconds"
                )
            log.debug("asking again in %.1f s: %s", pause_s, trouble)
            await asyncio.sleep(pause_s)
            wait_s = min(2 * wait_s, MAX_WAIT_S)

    async def _post(self, body: str, timeout_s: float) -> httpx.Response:
        return await self.http.post(
            self.url + PREDICT_PATH,
            content=body,
            headers={"content-type": "application/json"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        )

    def _read(self, response: httpx.Response, expected: int) -> tuple[float | None, ...]:
        try:
            (prediction,) = Reply.model_validate_json(response.content).predictions
        except (ValidationError, ValueError) as error:
            raise RuntimeError(f"{self.url} does not answer as the solver's server does: {error}") from error
        if len(prediction.confidences) != expected:
            raise RuntimeError(
                f"{self.url} answered {len(prediction.confidences)} of {expected} questions; is it another version?"
            )
        return prediction.confidences


def _seconds(retry_after: str | None, otherwise: float) -> float:
    try:
        return float(retry_after) if retry_after is not None else otherwise
    except ValueError:  # a date: HTTP allows it, our server never sends it, a mesh in between may
        return otherwise
