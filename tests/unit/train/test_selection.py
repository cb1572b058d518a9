"""Which questions a round trains on, and the probe parts that training writes itself."""

from collections.abc import Callable

import pytest
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.kinds import Label
from evolution_api.layout import manifest_key, part
from evolution_api.question import Question
from evolution_api.results import ProbeResult
from evolution_jobs.program import BadInputError
from evolution_jobs.train.selection import commit_confidences, select
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.store import CorruptError
from evolution_storage.tables import from_parquet, to_parquet
from evolution_storage.uri import run_store

Jobs = Callable[..., StageInput]


def question(number: int) -> Question:
    return Question(
        kind="object_existence",
        text="Is there a chair?",
        answer_type="yesno",
        program="True",
        id=f"q{number}",
        scene="room",
        answer="yes",
        round=1,
        proposer="grammar",
    )


def ask(job: StageInput, shard: int, *numbers: int) -> None:
    files = {f"{part(1, 'generate', shard)}.parquet": to_parquet([question(n) for n in numbers], Question)}
    commit(run_store(job), job.model_copy(update={"stage": "generate"}), files, stage_summary("generate"), shard=shard)


def probe(job: StageInput, shard: int, labels: dict[int, Label]) -> None:
    results = [
        ProbeResult(question=f"q{n}", scene="room", kind="object_existence", level=0, confidence=0.5, label=label)
        for n, label in labels.items()
    ]
    files = {f"{part(1, 'probe', shard)}.parquet": to_parquet(results, ProbeResult)}
    commit(run_store(job), job.model_copy(update={"stage": "probe"}), files, stage_summary("probe"), shard=shard)


def test_all_labels_take_every_accepted_question_in_the_order_of_the_shards(job: Jobs) -> None:
    train = job()
    ask(train, 2, 5, 4)
    ask(train, 0, 1, 0)
    assert [q.id for q in select(run_store(train), train).questions] == ["q1", "q0", "q5", "q4"]


def test_select_leaves_other_labels_and_unprobed_questions_out(job: Jobs) -> None:
    train = job(training={"select": ["frontier"], "global_batch_size": 8})
    ask(train, 0, 0, 1, 2)
    ask(train, 1, 3)
    probe(train, 0, {0: "easy", 1: "frontier"})
    assert [q.id for q in select(run_store(train), train).questions] == ["q1"]


def test_nothing_to_train_on_is_refused_with_the_labels_that_there_are(job: Jobs) -> None:
    train = job(training={"select": ["hard"], "global_batch_size": 8})
    with pytest.raises(BadInputError, match="no accepted questions"):
        select(run_store(train), train)
    ask(train, 0, 0, 1)
    probe(train, 0, {0: "easy", 1: "frontier"})
    with pytest.raises(BadInputError, match=r"training.select \['hard'\] leaves none of the 2 .*'easy': 1, 'frontier': 1"):
        select(run_store(train), train)


def test_a_truncated_part_is_refused_by_name(job: Jobs) -> None:
    train = job()
    ask(train, 0, 0, 1)
    store = run_store(train)
    key = f"{part(1, 'generate', 0)}.parquet"
    store.write(key, store.read(key)[:-1])
    with pytest.raises(CorruptError, match=key):
        select(store, train)


def test_confidences_become_probe_parts_with_labels(job: Jobs) -> None:
    train = job(difficulty={"signal": "training"})
    ask(train, 0, 0, 1)
    ask(train, 1, 2, 3)
    store = run_store(train)
    said = commit_confidences(store, train, select(store, train), {"q0": 0.95, "q1": 0.5, "q2": 0.05})
    assert said.labels == {"easy": 1, "frontier": 1, "hard": 1}
    assert said.mean_confidence == pytest.approx(0.5)
    manifest = committed(store, train.uid, manifest_key(1, "probe", 1))
    assert manifest is not None
    assert manifest.stage == "probe"
    results = from_parquet(read_file(store, manifest, f"{part(1, 'probe', 1)}.parquet"), ProbeResult)
    assert [(r.question, r.label) for r in results] == [("q2", "hard")]
