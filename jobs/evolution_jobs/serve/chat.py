"""The frozen proposer behind the OpenAI protocol, at the path that KServe's own runtimes use: /openai/v1/chat/completions.

    request -> admitted, or 429 -> the model's queue (one thread, one chat at a time) -> completion

Called by the program `serve` for `generation.proposer.serving`. It takes text and frames as data URLs, and fetches nothing. For
more questions a second than one chat at a time gives, `generation.proposer.endpoint` takes the URL of a server that batches.
"""

import asyncio
import base64
import io
import logging
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, Field

from evolution_api.layout import SERVED_MODEL
from evolution_jobs.program import TerminatedError
from evolution_jobs.proposers.inline import InlineModel
from evolution_jobs.serve.admission import Admission

MAX_WAITING = 64
GRACE_S = 2
"""From SIGTERM to the end of requests under way."""
BAD_REQUEST, NOT_FOUND = 400, 404
DATA_URL = ";base64,"


class ImageUrl(BaseModel):
    url: str


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


class Message(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]


class ResponseFormat(BaseModel):
    type: str


class Chat(BaseModel):
    """What is read of a request for a chat completion."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    seed: int = 0
    response_format: ResponseFormat | None = None
    stream: Literal[False] = False


def app(model: InlineModel) -> FastAPI:
    """Its /v1/models/<name> is the readiness probe of every server of ours."""
    made = FastAPI(title="proposer")
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="proposer")
    admission = Admission(MAX_WAITING)
    described = {"id": SERVED_MODEL, "object": "model", "created": int(time.time()), "owned_by": model.name}

    @made.get("/v1/models/{name}")
    @made.get("/openai/v1/models/{name}")
    async def one(name: str) -> dict[str, Any]:
        check_name(name)
        return described

    @made.get("/openai/v1/models")
    async def listed() -> dict[str, Any]:
        return {"object": "list", "data": [described]}

    @made.post("/openai/v1/chat/completions")
    async def complete(chat: Chat) -> dict[str, Any]:
        check_name(chat.model)
        if chat.response_format is not None and chat.response_format.type != "text":
            raise HTTPException(BAD_REQUEST, "response_format: this server enforces no schema; ask for it in the prompt")
        turns = [turn_of(message) for message in chat.messages]
        with admission.admitted():
            reply = await asyncio.get_running_loop().run_in_executor(
                worker, lambda: model.write(turns, max_tokens=chat.max_tokens, temperature=chat.temperature, seed=chat.seed)
            )
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": SERVED_MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": reply.text},
                    "finish_reason": "length" if reply.tokens_out >= chat.max_tokens else "stop",
                }
            ],
            "usage": {
                "prompt_tokens": reply.tokens_in,
                "completion_tokens": reply.tokens_out,
                "total_tokens": reply.tokens_in + reply.tokens_out,
            },
        }

    @made.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(failure(error.detail), error.status_code, headers=error.headers)

    @made.exception_handler(RequestValidationError)
    async def misread(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return JSONResponse(failure(f"{where}: {first['msg']}"), BAD_REQUEST)

    return made


def check_name(name: str) -> None:
    if name != SERVED_MODEL:
        raise HTTPException(NOT_FOUND, f"model {name!r} is not served here; ask for {SERVED_MODEL!r}")


def turn_of(message: Message) -> dict[str, Any]:
    """The message as a processor's chat template takes it, images in place; raises HTTPException."""
    if isinstance(message.content, str):
        return {"role": message.role, "content": [{"type": "text", "text": message.content}]}
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": part.text}
        if isinstance(part, TextPart)
        else {"type": "image", "image": image_of(part.image_url)}
        for part in message.content
    ]
    return {"role": message.role, "content": parts}


def image_of(where: ImageUrl) -> Image.Image:
    head, comma, data = where.url.partition(DATA_URL)
    if not comma or not head.startswith("data:"):
        raise HTTPException(BAD_REQUEST, f"image_url {where.url[:40]!r}: this server fetches nothing; send a base64 data URL")
    try:
        return Image.open(io.BytesIO(base64.b64decode(data, validate=True))).convert("RGB")
    except (ValueError, OSError, UnidentifiedImageError) as error:
        raise HTTPException(BAD_REQUEST, f"image_url: the data URL holds no image that can be read: {error}") from error


def failure(message: object) -> dict[str, Any]:
    return {"error": {"message": str(message), "type": "invalid_request_error", "param": None, "code": None}}


def serve(model: InlineModel, port: int) -> None:
    """Answer on `port` until SIGTERM or SIGINT."""
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app(model),
        host="0.0.0.0",  # noqa: S104 - the pod's port, as KServe asks
        port=port,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
    )
    try:
        uvicorn.Server(config).run()
    except (TerminatedError, KeyboardInterrupt):
        return  # uvicorn raises the signal again when it has ended
