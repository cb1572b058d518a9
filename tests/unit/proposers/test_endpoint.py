"""The OpenAI-compatible client against a real HTTP server: what it sends, what it retries, what it gives up."""

import asyncio
import base64
import io
import time
from typing import Any

import pytest
from PIL import Image

from evolution_api.run.generation import Endpoint
from evolution_jobs.program import BadInputError
from evolution_jobs.proposers import endpoint
from evolution_jobs.proposers.endpoint import EndpointModel, ServerDownError, served_model
from evolution_jobs.proposers.speaker import CallFailedError, Prompt, Reply

PROMPT = Prompt("What do you see?", (Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")))
SCHEMA = {"type": "object"}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BACKOFF_S", 0.001)


def model(server: Any, api_key: str | None = None, **settings: Any) -> EndpointModel:
    return EndpointModel(server.url, "m", Endpoint(url=server.url, model="m", **settings), api_key=api_key)


def say(speaker: EndpointModel) -> Reply:
    return asyncio.run(speaker.say(PROMPT, max_tokens=50, temperature=0.5, seed=7, schema=SCHEMA))


def test_a_request_holds_frames_text_schema_and_settings(server: Any, says: Any) -> None:
    server.script = [says("hello")]
    assert say(model(server, api_key="secret")) == Reply("hello", tokens_in=100, tokens_out=10)
    (request,) = server.requests
    content = request["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url", "text", "image_url", "text"]
    assert [part["text"] for part in content if part["type"] == "text"] == ["Frame 1:", "Frame 2:", "What do you see?"]
    encoded = content[3]["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
    frame = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert frame.size == (8, 6)
    assert frame.getpixel((4, 3))[2] > 200
    assert {k: request[k] for k in ("model", "max_tokens", "temperature", "seed")} == {
        "model": "m",
        "max_tokens": 50,
        "temperature": 0.5,
        "seed": 7,
    }
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert server.headers[0]["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param({"status": 429}, id="429"),
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 503, "raw": "<html>busy</html>"}, id="503-in-html"),
        pytest.param({"raw": "not json"}, id="200-without-json"),
        pytest.param({"raw": "[]"}, id="200-with-a-list"),
        pytest.param({"raw": '{"choices": []}'}, id="200-without-a-choice"),
        pytest.param({"raw": ""}, id="200-and-empty"),
        pytest.param({"raw": "[" * 100_000}, id="200-deeper-than-any-stack"),
        pytest.param({"raw": "x", "headers": {"content-encoding": "gzip"}}, id="200-that-cannot-be-unpacked"),
        pytest.param({"status": 429, "headers": {"retry-after": "nan"}}, id="429-with-a-wait-that-is-no-number"),
        pytest.param({"delay_s": 3.0}, id="too-slow"),
    ],
)
def test_what_passes_is_tried_again_and_counted(server: Any, says: Any, trouble: dict[str, Any]) -> None:
    server.script = [says(**trouble), says("hello")]
    speaker = model(server, timeout_seconds=2.0 if "delay_s" in trouble else 60.0)
    assert say(speaker).text == "hello"
    assert (speaker.usage.calls, speaker.usage.calls_retried, speaker.usage.calls_failed) == (1, 1, 0)
    assert (speaker.usage.tokens_in, speaker.usage.tokens_out) == (100, 10)


def test_the_server_may_ask_for_a_longer_wait(server: Any, says: Any) -> None:
    server.script = [says(status=429, headers={"retry-after": "0.2"}), says("hello")]
    started = time.monotonic()
    say(model(server))
    assert time.monotonic() - started >= 0.2


def test_a_call_that_keeps_failing_fails_with_its_last_cause(server: Any, says: Any) -> None:
    server.script = [says(status=500, raw="out of memory")]
    speaker = model(server, retries=2)
    with pytest.raises(CallFailedError, match=r"failed 3 times.*500 out of memory"):
        say(speaker)
    assert (speaker.usage.calls, speaker.usage.calls_retried, speaker.usage.calls_failed) == (1, 2, 1)


def test_a_server_that_is_gone_counts_as_down_after_several_calls() -> None:
    speaker = EndpointModel(
        "http://127.0.0.1:9/v1", "m", Endpoint(url="http://127.0.0.1:9/v1", model="m", retries=0), api_key=None
    )
    for _ in range(endpoint.FAILED_CALLS_IN_A_ROW - 1):
        with pytest.raises(CallFailedError):
            say(speaker)
    with pytest.raises(ServerDownError, match="8 calls in a row"):
        say(speaker)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        pytest.param(401, "API key is missing or wrong", id="401"),
        pytest.param(403, "may not do this", id="403"),
        pytest.param(404, "URL or the model is unknown", id="404"),
    ],
)
def test_a_refusal_is_not_tried_again(server: Any, says: Any, status: int, why: str) -> None:
    server.script = [says(status=status)]
    with pytest.raises(BadInputError, match=why):
        say(model(server))
    assert len(server.requests) == 1


def test_a_prompt_that_the_server_does_not_take_fails_alone(server: Any, says: Any) -> None:
    server.script = [says(status=413, raw="too many images")]
    with pytest.raises(CallFailedError, match="413: too many images"):
        say(model(server))
    assert len(server.requests) == 1


def test_a_server_without_schemas_is_asked_without(server: Any, says: Any) -> None:
    server.script = [says(status=400, raw="response_format is not supported"), says("hello")]
    speaker = model(server)
    assert say(speaker).text == "hello"
    assert say(speaker).text == "hello"
    assert ["response_format" in request for request in server.requests] == [True, False, False]


def test_tokens_are_estimated_where_the_server_does_not_count_them(server: Any, says: Any) -> None:
    server.script = [says("x" * 40, usage=None)]
    assert say(model(server)) == Reply("x" * 40, tokens_in=4, tokens_out=10)


@pytest.mark.parametrize("usage", ['{"prompt_tokens": null}', '{"prompt_tokens": -3}', '{"prompt_tokens": 1e999}', "[]"])
def test_tokens_that_a_server_counts_wrongly_are_estimated(server: Any, says: Any, usage: str) -> None:
    server.script = [says(raw=f'{{"choices": [{{"message": {{"content": "12345678"}}}}], "usage": {usage}}}')]
    assert say(model(server)) == Reply("12345678", tokens_in=4, tokens_out=2)


def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(BadInputError, match="cannot be used"):
        EndpointModel("http://[::1/v1", "m", Endpoint(url="http://x", model="m"), api_key=None)


def test_a_served_model_is_known_by_what_the_server_lists(server: Any) -> None:
    assert served_model(server.url, within_s=1) == "scripted"


def test_a_served_model_that_never_comes_is_waited_for_and_then_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "POLL_S", 0.01)
    with pytest.raises(ServerDownError, match="lists no model after 0 s"):
        served_model("http://127.0.0.1:9/v1", within_s=0.03)
