"""The tiny model as a proposer, with random weights, loaded by the program or behind a server: its garbage is counted."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from evolution_api.summaries import GenerateSummary
from evolution_jobs import generate
from evolution_jobs.program import BadInputError
from evolution_jobs.proposers.speaker import Prompt

pytestmark = pytest.mark.slow

MAX_TOKENS = 24


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from evolution_jobs.tiny import qwen3_vl

    folder = tmp_path_factory.mktemp("tiny")
    qwen3_vl.model().save_pretrained(folder)
    qwen3_vl.processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_model(tiny_folder: Path) -> Any:
    from evolution_jobs.proposers.inline import InlineModel

    return InlineModel(tiny_folder, "tiny", "float32", "cpu")


def test_the_same_seed_says_the_same_and_tokens_are_counted(tiny_model: Any) -> None:
    prompt = Prompt("how many chairs are there?", [Image.new("RGB", (64, 64), "grey")] * 2)
    before = tiny_model.usage.tokens_out

    def say(seed: int) -> Any:
        return asyncio.run(tiny_model.say(prompt, max_tokens=MAX_TOKENS, temperature=1.0, seed=seed, schema={}))

    first, again, other = say(1), say(1), say(2)
    assert first == again
    assert first.text != other.text
    assert 1 <= first.tokens_out <= MAX_TOKENS
    assert first.tokens_in > 2 * 16  # two frames of 16 visual tokens, and the words
    assert tiny_model.usage.tokens_out - before == first.tokens_out + again.tokens_out + other.tokens_out


def check_garbage_was_counted(summary: GenerateSummary) -> None:
    assert summary.proposer is not None
    assert summary.accepted == summary.executed == 0
    assert summary.rejected["malformed_proposal"] == summary.proposed == summary.proposer.calls > 0
    assert summary.proposer.tokens_in > 1000
    assert 0 < summary.proposer.tokens_out <= summary.proposer.calls * MAX_TOKENS


def test_a_shard_that_loads_the_model_itself(tiny_folder: Path, job: Any) -> None:
    run = job({"inline": {"uri": f"file://{tiny_folder}", "maxTokens": MAX_TOKENS}}, scenes=2)
    run = run.model_copy(
        update={"spec": run.spec.model_copy(update={"model": run.spec.model.model_copy(update={"dtype": "float32"})})}
    )
    check_garbage_was_counted(generate.main(run))


def test_a_run_that_asks_for_an_accelerator_does_not_write_on_the_cpu(tiny_folder: Path, job: Any) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has an accelerator")
    run = job({"inline": {"uri": f"file://{tiny_folder}"}}, scenes=1)
    gpu = run.spec.scheduling.model_copy(update={"accelerator": "nvidia.com/gpu"})
    with pytest.raises(RuntimeError, match="PyTorch sees none in this pod"):
        generate.main(run.model_copy(update={"spec": run.spec.model_copy(update={"scheduling": gpu})}))


def test_a_shard_that_asks_a_server_of_the_model(tiny_model: Any, server: Any, says: Any, job: Any) -> None:
    def answer(request: dict[str, Any]) -> Any:
        content = request["messages"][0]["content"]
        urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
        images = [Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))) for url in urls]
        said = asyncio.run(
            tiny_model.say(
                Prompt(content[-1]["text"], images),
                max_tokens=request["max_tokens"],
                temperature=request["temperature"],
                seed=request["seed"],
                schema={},
            )
        )
        return says(said.text, usage=(said.tokens_in, said.tokens_out))

    server.answer = answer
    run = job({"endpoint": {"url": server.url, "model": "tiny", "maxTokens": MAX_TOKENS, "concurrency": 1}}, scenes=2)
    check_garbage_was_counted(generate.main(run))
    assert len(server.requests[0]["messages"][0]["content"]) == 7  # three frames, each under its number, and the text


def test_a_model_without_weights_is_refused_in_one_sentence(tmp_path: Path, job: Any) -> None:
    with pytest.raises(BadInputError):
        generate.main(job({"inline": {"uri": f"file://{tmp_path}"}}, scenes=1))
