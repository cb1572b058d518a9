"""The generate program over prepared scenes in a folder: what it writes, counts, skips and repeats."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.kinds import Label
from evolution_api.question import Question, Rejection
from evolution_api.results import Manifest, ProbeResult
from evolution_jobs import generate
from evolution_jobs.program import BadInputError
from evolution_storage.manifests import commit
from evolution_storage.store import CorruptError
from evolution_storage.tables import from_parquet, to_parquet
from evolution_storage.uri import run_store

Prepared = Callable[..., StageInput]
Stored = Callable[[], dict[str, bytes]]


def run_shard(job: StageInput, shard: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", str(shard))
    return generate.main(job)


def accepted(stored: dict[str, bytes], round_: int, shard: int) -> list[Question]:
    return from_parquet(stored[f"rounds/{round_:04d}/generate/part-{shard:05d}.parquet"], Question)


def rejected(stored: dict[str, bytes], round_: int, shard: int) -> list[Rejection]:
    return from_parquet(stored[f"rounds/{round_:04d}/generate/part-{shard:05d}.rejected.parquet"], Rejection)


def probe(job: StageInput, questions: list[Question], shard: int, label: Callable[[Question], Label]) -> None:
    """What the probe stage of the job's round leaves."""
    results = [
        ProbeResult(question=q.id, scene=q.scene, kind=q.kind, level=q.level, confidence=0.5, label=label(q)) for q in questions
    ]
    probed = job.model_copy(update={"stage": "probe"})
    key = f"rounds/{job.round:04d}/probe/part-{shard:05d}.parquet"
    commit(run_store(probed), probed, {key: to_parquet(results, ProbeResult)}, stage_summary("probe"), shard=shard)


def test_a_shard_asks_its_own_scenes_and_counts_what_came_of_it(
    prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = run_shard(prepared(), 1, monkeypatch)
    questions, dropped = accepted(stored(), 1, 1), rejected(stored(), 1, 1)
    assert Counter(q.scene for q in questions) == {"room-1": 8, "room-3": 8}
    assert (summary.scenes, summary.skipped_scenes) == (2, 0)
    assert summary.accepted == len(questions) == 16
    assert summary.proposed == 16 + len(dropped)
    assert 16 <= summary.executed <= summary.proposed
    assert summary.rejected == Counter(r.reason for r in dropped)
    assert summary.kinds == Counter(q.kind for q in questions)
    assert {q.proposer for q in questions} == {"grammar"}
    assert {q.round for q in questions} == {1}


def test_the_same_job_writes_the_same_bytes_and_a_committed_shard_is_left_alone(
    prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared()
    first = run_shard(job, 0, monkeypatch)
    before = stored()
    monkeypatch.setattr(generate, "generate", lambda *_: pytest.fail("a committed shard was generated again"))
    assert run_shard(job, 0, monkeypatch) == first
    monkeypatch.undo()
    run_store(job).delete("rounds/0001/generate")
    assert run_shard(job, 0, monkeypatch) == first
    assert stored() == before


def test_other_shards_do_not_change_what_a_scene_is_asked(
    prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_shard(prepared(scenes=2), 0, monkeypatch)
    run_shard(prepared(scenes=2, shards=1, round_=2), 0, monkeypatch)
    assert generate.scene_seed(0, 1, "room-0") != generate.scene_seed(0, 2, "room-0")
    assert generate.scene_seed(0, 1, "room-0") != generate.scene_seed(1, 1, "room-0")


def test_what_any_earlier_round_asked_is_not_asked_again(
    prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    for round_ in (1, 2, 3):
        run_shard(prepared(round_=round_), 0, monkeypatch)
    ids = [q.id for round_ in (1, 2, 3) for q in accepted(stored(), round_, 0)]
    assert len(set(ids)) == len(ids)
    assert "duplicate" not in {r.reason for r in rejected(stored(), 3, 0)}  # the grammar does not even submit them


def level_is_easy(question: Question) -> Label:
    return "frontier" if question.kind == "object_abs_distance" else "easy"


def asked(stored: dict[str, bytes], round_: int) -> Counter[str]:
    return Counter(q.kind for q in accepted(stored, round_, 0))


def test_feedback_moves_the_questions_to_the_kind_that_is_at_the_frontier(
    prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ["object_abs_distance", "object_existence"]
    asked_by: dict[bool, Counter[str]] = {}
    for feedback in (True, False):
        settings = {"kinds": kinds, "shards": 1, "proposer": {"grammar": {"feedback": feedback}}}
        first = prepared(scenes=12, **settings)
        run_shard(first, 0, monkeypatch)
        probe(first, accepted(stored(), 1, 0), 0, level_is_easy)
        run_shard(prepared(scenes=12, round_=2, **settings), 0, monkeypatch)
        asked_by[feedback] = asked(stored(), 2)
        run_store(first).delete("rounds/0001")
        run_store(first).delete("rounds/0002")
    assert asked_by[True]["object_abs_distance"] > 1.4 * asked_by[False]["object_abs_distance"]
    assert asked_by[True]["object_existence"] > 0


def test_a_broken_scene_is_skipped_and_counted(
    prepared: Prepared, stored: Stored, scenes_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared(scenes=8)
    (scenes_folder / "room-0" / "scene.json").write_text("{")
    (scenes_folder / "room-2" / "1.png").unlink()
    image = scenes_folder / "room-4" / "2.png"
    image.write_bytes(image.read_bytes()[:40])
    summary = run_shard(job, 0, monkeypatch)
    assert (summary.scenes, summary.skipped_scenes) == (1, 3)
    assert {q.scene for q in accepted(stored(), 1, 0)} == {"room-6"}


def test_a_shard_without_any_usable_scene_fails_and_writes_nothing(
    prepared: Prepared, stored: Stored, scenes_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = prepared()
    for scene in ("room-0", "room-2"):
        (scenes_folder / scene / "scene.json").unlink()
    with pytest.raises(BadInputError, match=r"none of the shard's 2 scenes can be used.*lower generation.shards"):
        run_shard(job, 0, monkeypatch)
    assert not [key for key in stored() if key.startswith("rounds/0001")]


def test_a_shard_that_no_scene_falls_to_is_empty(prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = run_shard(prepared(scenes=2, shards=3), 2, monkeypatch)
    assert summary.accepted == 0
    assert accepted(stored(), 1, 2) == []


def test_last_rounds_changed_shard_is_refused(prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    job = prepared()
    run_shard(job, 0, monkeypatch)
    run_store(job).write("rounds/0001/generate/part-00000.parquet", b"PAR1")
    with pytest.raises(CorruptError, match=r"rounds/0001/generate/part-00000.parquet"):
        run_shard(prepared(round_=2), 0, monkeypatch)


def test_a_manifest_of_another_run_is_refused(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    job = prepared()
    foreign = Manifest(run_uid="uid-2", stage="generate", round=1, shard=0, files=(), summary=stage_summary("generate"))
    run_store(job).write("rounds/0001/generate/part-00000.json", foreign.model_dump_json().encode())
    with pytest.raises(CorruptError, match="uid-2"):
        run_shard(job, 0, monkeypatch)


def test_a_shard_that_failed_for_good_last_round_is_asked_afresh(
    prepared: Prepared, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = run_shard(prepared(round_=2), 0, monkeypatch)
    assert summary.accepted == 16


def test_the_seed_of_a_scene_follows_from_run_round_and_scene_alone() -> None:
    seeds = {generate.scene_seed(s, r, i) for s in (0, 1) for r in (1, 2) for i in ("room-0", "room-1")}
    assert len(seeds) == 8
    assert random.Random(generate.scene_seed(0, 1, "room-0")).random() == pytest.approx(
        random.Random(generate.scene_seed(0, 1, "room-0")).random()
    )
