"""The probe program against a server that answers as told: what it asks, how it labels, what it writes."""

import itertools
import os
import signal
from collections.abc import Callable
from statistics import fmean
from typing import Any

import pytest

from evolution_api.jobs import StageInput
from evolution_api.kinds import LABELS
from evolution_api.layout import ENV_SHARD, ENV_SOLVER_URL, manifest_key, part
from evolution_api.question import Question
from evolution_api.results import ProbeResult
from evolution_api.summaries import ProbeSummary
from evolution_jobs import probe
from evolution_jobs.program import BadInputError, TerminatedError
from evolution_storage.manifests import committed, read_file
from evolution_storage.tables import from_parquet
from evolution_storage.uri import run_store

Build = Callable[..., StageInput]


def results_of(job: StageInput) -> list[ProbeResult]:
    store = run_store(job)
    manifest = committed(store, job.uid, manifest_key(1, "probe", 0))
    assert manifest is not None
    return from_parquet(read_file(store, manifest, f"{part(1, 'probe', 0)}.parquet"), ProbeResult)


def by_scene(**confidence: float | None) -> Callable[[dict[str, Any]], tuple[int, dict[str, str], dict[str, Any]]]:
    """The same confidence in every answer that is asked before a scene's frames; a scene not named cannot be read."""

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
        predictions = []
        for instance in body["instances"]:
            if instance["scene"] not in confidence:
                return 422, {}, {"detail": "a frame is truncated"}
            predictions.append({"confidences": [confidence[instance["scene"]]] * len(instance["pairs"])})
        return 200, {}, {"predictions": predictions}

    return answer


@pytest.fixture
def run_probe(answering: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(job: StageInput, answer: Any) -> Any:
        with answering(answer) as server:
            monkeypatch.setenv(ENV_SOLVER_URL, server.url)
            return probe.main(job), server.seen

    return run


def test_the_paper_s_rule_asks_once_and_labels_by_p(
    job: Build, generated: Any, questions: list[Question], run_probe: Any
) -> None:
    paper = job()
    generated(paper, questions)
    summary, seen = run_probe(paper, by_scene(a=0.95, c=0.5))
    assert sorted(i["scene"] for body in seen for i in body["instances"]) == ["a", "c"]
    assert summary == ProbeSummary(
        probed=3,
        labels={"easy": 2, "frontier": 1, "hard": 0},
        labels_by_kind={"object_existence": {"easy": 2, "frontier": 1}},
        mean_confidence=fmean((0.95, 0.95, 0.5)),
    )
    assert [(r.question, r.confidence, r.confidence_elsewhere, r.label) for r in results_of(paper)] == [
        ("a-0", 0.95, None, "easy"),
        ("a-1", 0.95, None, "easy"),
        ("c-0", 0.5, None, "frontier"),
    ]


def test_prompt_and_true_answer_are_what_the_solver_is_trained_on(
    job: Build, generated: Any, questions: list[Question], run_probe: Any
) -> None:
    text = job()
    generated(text, questions[2:])
    _, seen = run_probe(text, by_scene(c=0.5))
    assert seen[0]["instances"][0]["pairs"] == [["is there a lamp number 0 ?", "yes"]]


def test_seeing_asks_again_before_the_frames_half_the_plan_further(
    job: Build, generated: Any, questions: list[Question], run_probe: Any
) -> None:
    """Of four scenes a borrows from c and c from a: two requests in all, each before one scene's frames."""
    seeing = job(difficulty={"rule": "seeing"})
    generated(seeing, questions)
    summary, seen = run_probe(seeing, by_scene(a=0.8, c=0.5))
    assert sorted((i["scene"], len(i["pairs"])) for body in seen for i in body["instances"]) == [("a", 3), ("c", 3)]
    rows = results_of(seeing)
    assert [(r.confidence, r.confidence_elsewhere) for r in rows] == [(0.8, 0.5), (0.8, 0.5), (0.5, 0.8)]
    # Two-way questions have chance 0.5: looking adds 0.3 of 0.5 to the first two, and misleads in the third.
    assert [r.label for r in rows] == ["frontier", "frontier", "hard"]
    assert (summary.mean_confidence, summary.mean_confidence_elsewhere) == (pytest.approx(0.7), pytest.approx(0.6))


def test_where_a_lender_cannot_be_read_the_next_scene_lends(
    job: Build, generated: Any, questions: list[Question], run_probe: Any
) -> None:
    """c is broken: its question is left out and counted, and a borrows from the scene that then stands half the list further."""
    seeing = job(difficulty={"rule": "seeing"})
    generated(seeing, questions)
    summary, _ = run_probe(seeing, by_scene(a=0.8, b=0.6, d=0.4))
    rows = results_of(seeing)
    assert [(r.question, r.confidence_elsewhere) for r in rows] == [("a-0", 0.6), ("a-1", 0.6)]
    assert (summary.probed, summary.unreadable) == (2, 1)


@pytest.mark.parametrize(
    ("rule", "readable"),
    [pytest.param("paper", {}, id="no-scene"), pytest.param("seeing", {"a": 0.8}, id="none-that-could-lend-its-frames")],
)
def test_a_server_that_can_show_nothing_is_an_error_and_not_an_empty_shard(
    job: Build, generated: Any, questions: list[Question], run_probe: Any, rule: str, readable: dict[str, float]
) -> None:
    """A scene that lent its frames to itself would have the same confidence twice, and only easy and hard questions."""
    probed = job(difficulty={"rule": rule})
    generated(probed, questions)
    with pytest.raises(BadInputError, match="none of the scenes that the shard's 3 questions need"):
        run_probe(probed, by_scene(**readable))
    assert committed(run_store(probed), probed.uid, manifest_key(1, "probe", 0)) is None


def test_a_second_run_does_nothing_and_says_the_same(
    job: Build, generated: Any, questions: list[Question], run_probe: Any
) -> None:
    paper = job()
    generated(paper, questions)
    first, _ = run_probe(paper, by_scene(a=0.95, c=0.5))
    again, seen = run_probe(paper, by_scene(a=0.0, c=0.0))
    assert again == first
    assert seen == []


def test_probing_twice_writes_the_same_bytes(job: Build, generated: Any, questions: list[Question], run_probe: Any) -> None:
    paper = job()
    generated(paper, questions)
    store = run_store(paper)
    written = []
    for _ in range(2):
        run_probe(paper, by_scene(a=0.95, c=0.5))
        written.append([store.read(key) for key in store.list("rounds/0001/probe")])
        store.delete("rounds/0001/probe")
    assert written[0] == written[1]


def test_a_shard_that_failed_for_good_ends_empty_and_says_so(
    job: Build, generated: Any, run_probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lenient = job(generation={"shards": 2, "max_failed_shards": 1})
    generated(lenient, [])
    monkeypatch.setenv(ENV_SHARD, "1")
    summary = probe.main(lenient)
    assert summary == ProbeSummary(probed=0, labels=dict.fromkeys(LABELS, 0), missing_shard=True)


def test_a_missing_shard_is_an_error_where_none_may_fail(job: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_SHARD, "1")
    with pytest.raises(FileNotFoundError, match=r"part-00001.json is missing and generation.maxFailedShards is 0"):
        probe.main(job())


def test_a_shard_without_questions_needs_no_server(job: Build, generated: Any) -> None:
    paper = job()
    generated(paper, [])
    assert probe.main(paper) == ProbeSummary(probed=0, labels=dict.fromkeys(LABELS, 0))


def test_without_the_server_s_url_there_is_nothing_to_ask(job: Build, generated: Any, questions: list[Question]) -> None:
    paper = job()
    generated(paper, questions)
    with pytest.raises(BadInputError, match="EVOLUTION_SOLVER_URL is not set"):
        probe.main(paper)


def test_a_solver_that_has_diverged_ends_the_probe_for_good(
    job: Build, generated: Any, questions: list[Question], run_probe: Any
) -> None:
    paper = job()
    generated(paper, questions)
    with pytest.raises(BadInputError, match=r"question a-0 is not a number.*lower training.learningRate"):
        run_probe(paper, by_scene(a=None, c=0.5))
    assert committed(run_store(paper), paper.uid, manifest_key(1, "probe", 0)) is None


def test_sigterm_ends_a_waiting_probe_at_once(job: Build, generated: Any, questions: list[Question], run_probe: Any) -> None:
    paper = job()
    generated(paper, questions)

    first = itertools.count()

    def busy(_: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
        if next(first) == 0:  # Kubernetes sends one; a second could meet the event loop while it is being closed
            os.kill(os.getpid(), signal.SIGTERM)
        return 503, {"Retry-After": "30"}, {}

    with pytest.raises(TerminatedError):
        run_probe(paper, busy)
