"""A model that answers a prompt, wherever it runs: `endpoint.py` and `inline.py` are two; `model.py` speaks to either."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL.Image import Image

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English and code, where nothing better is known."""


@dataclass(frozen=True)
class Prompt:
    text: str
    images: Sequence[Image]
    """The scene's frames, in order; they stand before the text."""

    @property
    def sha256(self) -> str:
        """Of the text; the frames are the scene's and are not hashed."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    text: str
    tokens_in: int
    tokens_out: int


@dataclass
class Usage:
    """What a speaker used up; tokens are estimated where a server does not report them."""

    calls: int = 0
    calls_retried: int = 0
    calls_failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    def add(self, reply: Reply) -> None:
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out


class CallFailedError(Exception):
    """This request came to nothing, its retries included; another one may succeed."""


class Speaker(Protocol):
    name: str
    concurrency: int
    """Requests that it can work on at once."""
    usage: Usage

    async def say(self, prompt: Prompt, *, max_tokens: int, temperature: float, seed: int, schema: dict[str, Any]) -> Reply:
        """The model's reply. `schema` is the JSON schema that it should follow; nothing promises that it does.

        Raises CallFailedError; any other exception means that no request can succeed.
        """
