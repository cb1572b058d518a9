"""The frozen proposer as a server process, the shipped tiny model behind it and a generating shard before it."""

import base64
import io
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.local.model_server import Server

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_PROPOSER_URL, ENV_SHARD
from evolution_api.summaries import GenerateSummary
from evolution_jobs import generate, prepare

pytestmark = pytest.mark.slow

MAX_TOKENS = 16
MODEL = ROOT / "examples" / "tiny-model"
CHATS = "/openai/v1/chat/completions"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> StageInput:
    """A shard of three prepared rooms whose proposer is served."""
    folder = tmp_path_factory.mktemp("run")
    spec = {
        "model": {"uri": "file:///nothing", "dtype": "float32", "choices": "text"},
        "scenes": {"procedural": {"rooms": 5, "width": 64, "height": 64}, "framesPerScene": 3},
        "generation": {
            "proposer": {"serving": {"uri": f"file://{MODEL}", "maxTokens": MAX_TOKENS, "secondLook": False}},
            "questionsPerScene": 1,
            "shards": 1,
        },
        "evaluation": {"heldout": {"scenes": 2, "questionsPerKind": 1}},
        "scheduling": {"accelerator": "none"},
        "storage": {"uri": f"file://{folder}/store"},
    }
    preparing = StageInput.model_validate(
        {"namespace": "default", "run": "chat", "uid": "u1", "stage": "prepare", "round": 0, "spec": spec}
    )
    prepare.main(preparing)
    return preparing.model_copy(update={"stage": "generate", "round": 1})


@pytest.fixture(scope="module")
def server(job: StageInput, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(job, tmp_path_factory.mktemp("serve")) as running:
        yield running.wait_until_ready()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=20) == 0


def image_part(image: Image.Image) -> dict[str, Any]:
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(encoded.getvalue()).decode()}"}}


def one_image(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


def ask(server: Server, **changes: Any) -> httpx.Response:
    chat = {"model": "solver", "messages": [{"role": "user", "content": "is there a bed ?"}], "max_tokens": MAX_TOKENS}
    return httpx.post(server.url + CHATS, json=chat | changes, timeout=60, trust_env=False)


def test_a_chat_is_what_the_model_says_in_this_process(server: Server) -> None:
    from evolution_jobs.proposers.inline import InlineModel, chat_of
    from evolution_jobs.proposers.speaker import Prompt

    frames = [Image.new("RGB", (64, 64), colour) for colour in ("navy", "olive")]
    content = [
        part
        for number, frame in enumerate(frames, 1)
        for part in ({"type": "text", "text": f"Frame {number}:"}, image_part(frame))
    ]
    content.append({"type": "text", "text": "Which objects are in view?"})
    here = InlineModel(MODEL, "tiny", "float32", "cpu")
    for seed in (1, 2):
        own = here.write(chat_of(Prompt("Which objects are in view?", frames)), max_tokens=MAX_TOKENS, temperature=1.5, seed=seed)
        reply = ask(server, messages=[{"role": "user", "content": content}], temperature=1.5, seed=seed)
        assert reply.status_code == 200, reply.text
        completion = reply.json()
        assert completion["choices"][0]["message"] == {"role": "assistant", "content": own.text}
        assert completion["usage"]["prompt_tokens"] == own.tokens_in
        assert completion["usage"]["completion_tokens"] == own.tokens_out


def test_it_lists_its_model_and_is_ready_where_every_server_of_ours_is(server: Server) -> None:
    listed = httpx.get(f"{server.url}/openai/v1/models", trust_env=False).json()
    assert [model["id"] for model in listed["data"]] == ["solver"]
    assert httpx.get(f"{server.url}/v1/models/solver", trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        pytest.param({"messages": []}, 400, "messages: ", id="no message"),
        pytest.param({"model": "gpt"}, 404, "model 'gpt' is not served here", id="another model"),
        pytest.param({"temperature": -1}, 400, "temperature: ", id="below a bound"),
        pytest.param({"stream": True}, 400, "stream: ", id="a stream"),
        pytest.param({"response_format": {"type": "json_schema"}}, 400, "enforces no schema", id="a schema"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}]},
            400,
            "this server fetches nothing",
            id="a link",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}]}
                ]
            },
            400,
            "holds no image",
            id="no image",
        ),
    ],
)
def test_bad_requests_get_a_sentence(server: Server, changes: dict[str, Any], status: int, words: str) -> None:
    reply = ask(server, **changes)
    assert reply.status_code == status
    assert words in reply.json()["error"]["message"]


def test_a_shard_asks_it_and_counts_what_it_says(server: Server, job: StageInput, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PROPOSER_URL, f"{server.url}/openai/v1")
    monkeypatch.setenv(ENV_SHARD, "0")
    summary = generate.main(job)
    assert isinstance(summary, GenerateSummary)
    usage = summary.proposer
    assert usage is not None
    assert summary.accepted == 0, "a model of two million parameters writes no programs"
    assert summary.rejected["malformed_proposal"] == summary.proposed == usage.calls > 0
    assert 0 < usage.tokens_out <= usage.calls * MAX_TOKENS
    assert usage.calls_failed == 0


def test_a_model_that_cannot_chat_ends_it_for_good(job: StageInput, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    spec = job.spec.model_copy(deep=True)
    serving = spec.generation.proposer.serving
    assert serving is not None
    proposer = spec.generation.proposer.model_copy(
        update={"serving": serving.model_copy(update={"uri": f"file://{tmp_path}/model"})}
    )
    generation = spec.generation.model_copy(update={"proposer": proposer})
    with Server(job.model_copy(update={"spec": spec.model_copy(update={"generation": generation})}), tmp_path) as doomed:
        assert doomed.process.wait(timeout=120) == 2
        assert not doomed.last_words().retryable
