"""A whole shard of the generate program with a model for a proposer: concurrency, counts, prompts, and what ends it."""

import json
from typing import Any

import pytest

from evolution_api.layout import ENV_PROPOSER_KEY, ENV_PROPOSER_URL
from evolution_api.question import Question
from evolution_jobs import generate
from evolution_jobs.program import BadInputError
from evolution_jobs.proposers import endpoint
from evolution_jobs.proposers.endpoint import ServerDownError
from evolution_storage.tables import from_parquet
from evolution_storage.uri import run_store

COUNT_CHAIRS = {
    "kind": "object_counting",
    "text": "How many chair(s) are in this room?",
    "answer_type": "count",
    "options": [],
    "unit": None,
    "program": "count('chair')",
    "labels": ["chair"],
    "level": 1,
}
STEM = "rounds/0001/generate/part-00000"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BACKOFF_S", 0.001)


def reply(*proposals: Any) -> str:
    return json.dumps({"questions": proposals})


def test_scenes_are_asked_concurrently_and_stored_in_their_order(server: Any, says: Any, job: Any) -> None:
    server.script = [says(reply(COUNT_CHAIRS), delay_s=0.05)]
    run = job({"endpoint": {"url": server.url, "model": "m", "concurrency": 3, "secondLook": False}})
    summary = generate.main(run)
    assert server.most_at_once == 3
    store = run_store(run)
    questions = from_parquet(store.read(f"{STEM}.parquet"), Question)
    assert [q.scene for q in questions] == [f"room-{i}" for i in range(6)]
    assert {q.proposer for q in questions} == {"m"}
    assert (summary.proposer.calls, summary.proposer.tokens_in, summary.proposer.tokens_out) == (6, 600, 60)
    assert (summary.proposed, summary.executed, summary.accepted) == (6, 6, 6)
    prompts = [json.loads(line) for line in store.read(f"{STEM}.prompts.jsonl").splitlines()]
    assert {q.prompt_sha256 for q in questions} == {p["sha256"] for p in prompts}
    assert all("base64" not in p["prompt"] and "table-1" in p["prompt"] for p in prompts)


def test_a_scene_that_the_server_fails_on_is_skipped_and_the_shard_goes_on(server: Any, says: Any, job: Any) -> None:
    server.script = [says(status=500), says(reply(COUNT_CHAIRS))]
    run = job({"endpoint": {"url": server.url, "model": "m", "concurrency": 1, "retries": 0, "secondLook": False}})
    summary = generate.main(run)
    assert (summary.scenes, summary.skipped_scenes, summary.proposer.calls_failed, summary.accepted) == (5, 1, 1, 5)


def test_a_server_that_is_down_fails_the_shard_for_a_later_attempt(job: Any) -> None:
    run = job({"endpoint": {"url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}}, scenes=10)
    with pytest.raises(ServerDownError, match="came to nothing"):
        generate.main(run)
    assert run_store(run).list("rounds/0001") == []


def test_a_server_that_fails_on_every_scene_is_not_the_scenes_fault(server: Any, says: Any, job: Any) -> None:
    server.script = [says(status=500)]
    run = job({"endpoint": {"url": server.url, "model": "m", "retries": 0}}, scenes=2)
    with pytest.raises(RuntimeError, match="the proposer failed on all 2"):
        generate.main(run)


def test_a_wrong_key_ends_the_shard_at_once(server: Any, says: Any, job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_PROPOSER_KEY, "wrong")
    server.script = [says(status=401, raw="invalid key")]
    with pytest.raises(BadInputError, match="API key is missing or wrong; invalid key"):
        generate.main(job({"endpoint": {"url": server.url, "model": "m", "concurrency": 1}}))
    assert len(server.requests) == 1
    assert server.headers[0]["authorization"] == "Bearer wrong"


def test_the_served_proposer_is_found_through_its_variable(
    server: Any, says: Any, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job({"serving": {"secondLook": False}}, scenes=1)
    with pytest.raises(BadInputError, match="EVOLUTION_PROPOSER_URL is not set"):
        generate.main(run)
    monkeypatch.setenv(ENV_PROPOSER_URL, server.url)
    server.script = [says(reply(COUNT_CHAIRS))]
    assert generate.main(run).accepted == 1
    assert server.requests[0]["model"] == "scripted"


def test_garbage_from_the_model_is_counted_and_committed(server: Any, says: Any, job: Any) -> None:
    server.script = [says("chair table 3 left [ { yes")]
    summary = generate.main(job({"endpoint": {"url": server.url, "model": "m"}}, scenes=2))
    assert (summary.proposed, summary.executed, summary.accepted) == (4, 0, 0)
    assert summary.rejected == {"malformed_proposal": 4}
