"""Speaks to any OpenAI-compatible server: POST <url>/chat/completions with frames as data URLs.

Used by `generate.py` for the proposers `endpoint` and `serving`. What passes (429, 5xx, time-outs, broken connections) is
tried again with doubling waits; what a retry cannot mend (a wrong key, an unknown model) ends the shard with a sentence that
says so. It does not look into replies.
"""

import asyncio
import base64
import io
import re
import time
from typing import Any

import httpx
from PIL.Image import Image

from evolution_api.run.generation import RemoteCall
from evolution_jobs.model.prompts import messages
from evolution_jobs.program import BadInputError, log
from evolution_jobs.proposers.speaker import CHARACTERS_PER_TOKEN, CallFailedError, Prompt, Reply, Usage

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Status codes that say `later`."""
REFUSED = {401: "the API key is missing or wrong", 403: "the API key may not do this", 404: "the URL or the model is unknown"}
BACKOFF_S = 0.5
"""Wait before the first retry, doubled each time; a server may ask for more."""
MAX_WAIT_S = 60.0
"""Longest wait, also of one that the server asks for."""
FAILED_CALLS_IN_A_ROW = 8
"""Calls that fail one after the other, retries included, until the server counts as down."""
JPEG_QUALITY = 90
POLL_S = 2.0
"""Between two looks whether the server is there."""


class ServerDownError(RuntimeError):
    """No call gets through; the stage is to be tried again later."""


class _PassingError(Exception):
    """This try failed, the next may not; `wait_s` is what the server asks for before it."""

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class EndpointModel:
    def __init__(self, url: str, model: str, settings: RemoteCall, *, api_key: str | None) -> None:
        """`url` goes up to and with /v1. Raises BadInputError for one that is none."""
        try:
            self.url = str(httpx.URL(url)).rstrip("/")
        except httpx.InvalidURL as error:
            raise BadInputError(f"generation.proposer: the URL {url!r} cannot be used: {error}; correct it") from error
        self.model = self.name = model
        self.concurrency = settings.concurrency
        self.timeout_s = settings.timeout_seconds
        self.retries = settings.retries
        self.usage = Usage()
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._failed_in_a_row = 0
        self._takes_schemas = True
        self._tls = httpx.create_ssl_context()

    async def say(self, prompt: Prompt, *, max_tokens: int, temperature: float, seed: int, schema: dict[str, Any]) -> Reply:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages((image_part(image) for image in prompt.images), prompt.text),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
        }
        self.usage.calls += 1
        try:
            reply = await self._say(body, schema, len(prompt.text))
        except CallFailedError as error:
            self.usage.calls_failed += 1
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= FAILED_CALLS_IN_A_ROW:
                raise ServerDownError(f"{self._failed_in_a_row} calls in a row came to nothing; the last: {error}") from error
            raise
        self._failed_in_a_row = 0
        self.usage.add(reply)
        return reply

    async def _say(self, body: dict[str, Any], schema: dict[str, Any], prompt_characters: int) -> Reply:
        for attempt in range(self.retries + 1):
            try:
                async with asyncio.timeout(self.timeout_s):
                    response = await self._post(body, schema)
                return reply_of(response, prompt_characters)
            except (httpx.RequestError, TimeoutError, _PassingError) as error:
                if attempt == self.retries:
                    said = str(error) or type(error).__name__
                    raise CallFailedError(f"{self.url} failed {attempt + 1} times, the last time with: {said}") from error
                asked_s = error.wait_s if isinstance(error, _PassingError) else 0.0
                self.usage.calls_retried += 1
                await asyncio.sleep(min(max(asked_s, BACKOFF_S * 2**attempt), MAX_WAIT_S))
        raise AssertionError("the last attempt returns or raises")

    async def _post(self, body: dict[str, Any], schema: dict[str, Any]) -> httpx.Response:
        """With the schema, until the server says that it takes none."""
        url = f"{self.url}/chat/completions"
        async with httpx.AsyncClient(timeout=None, headers=self._headers, verify=self._tls) as client:  # noqa: S113 - `_say` limits it
            if self._takes_schemas:
                form = {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}}
                response = await client.post(url, json={**body, "response_format": form})
                if response.status_code not in (400, 422) or "schema" not in response.text.replace("response_format", "schema"):
                    return response
                log.warning("%s takes no JSON schema: %s; from now on the prompt alone asks for it", url, response.text[:200])
                self._takes_schemas = False
            return await client.post(url, json=body)


def served_model(url: str, *, within_s: float) -> str:
    """Name of the first model that the server lists, waited for `within_s` seconds while the server starts."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            listed = httpx.get(f"{url.rstrip('/')}/models", timeout=10).raise_for_status().json()
            return str(listed["data"][0]["id"])
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            if time.monotonic() > deadline:
                raise ServerDownError(f"{url}/models lists no model after {within_s:.0f} s: {error!r}") from error
        time.sleep(POLL_S)


def image_part(image: Image) -> dict[str, Any]:
    """The frame as a data URL, which every server of the protocol takes."""
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"}}


def reply_of(response: httpx.Response, prompt_characters: int) -> Reply:
    """Raises _PassingError for what a later try may mend, BadInputError for a refusal, CallFailedError for the rest."""
    status = response.status_code
    if status in PASSING:
        raise _PassingError(f"{status} {response.text[:200]}", retry_after_s(response))
    if status in REFUSED:
        raise BadInputError(f"generation.proposer: {response.url} answers {status}: {REFUSED[status]}; {response.text[:200]}")
    if not response.is_success:
        raise CallFailedError(f"{response.url} answers {status}: {response.text[:200]}")
    try:
        completion = response.json()
        text = str(completion["choices"][0]["message"]["content"] or "")
        usage = dict(completion.get("usage") or {})
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _PassingError(f"{response.text[:200]!r} is no chat completion ({error!r})") from error
    return Reply(
        text=text,
        tokens_in=counted(usage.get("prompt_tokens"), prompt_characters),
        tokens_out=counted(usage.get("completion_tokens"), len(text)),
    )


def counted(tokens: object, characters: int) -> int:
    """What the server counted, or an estimate where it counted nothing."""
    return tokens if type(tokens) is int and tokens >= 0 else characters // CHARACTERS_PER_TOKEN


def retry_after_s(response: httpx.Response) -> float:
    """Seconds that the server asks for; 0 where it asks for none, or for a date: our own back-off does."""
    asked = response.headers.get("retry-after", "")
    return float(asked) if re.fullmatch(r"\d{1,6}(\.\d+)?", asked) else 0.0
