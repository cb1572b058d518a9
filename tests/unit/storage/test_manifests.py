"""A reader trusts only a manifest, and only one that is true."""

from pathlib import Path

import pytest
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.results import Manifest
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.summaries import GenerateSummary, TrainSummary
from evolution_storage.manifests import commit, committed, fetch_files, put, read_file, summary_of
from evolution_storage.store import CorruptError, Store
from evolution_storage.uri import open_store, run_store

KEY = "rounds/0001/generate/part-00002.json"
DATA = "rounds/0001/generate/part-00002.parquet"
SUMMARY = stage_summary("generate")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}")


@pytest.fixture
def job(tmp_path: Path) -> StageInput:
    spec = {"model": {"uri": "file:///m"}, "scenes": {"procedural": {}}, "storage": {"uri": f"file://{tmp_path}"}}
    return StageInput(
        namespace="default", run="r", uid="u1", stage="generate", round=1, spec=EvolutionRunSpec.model_validate(spec)
    )


def committed_part(store: Store, job: StageInput) -> Manifest:
    return commit(store, job, {DATA: b"rows"}, SUMMARY, shard=2)


def test_nothing_is_committed_before_the_manifest(store: Store, job: StageInput) -> None:
    put(store, DATA, b"rows")
    assert committed(store, job.uid, KEY) is None


def test_a_committed_file_is_read_back(store: Store, job: StageInput) -> None:
    written = committed_part(store, job)
    manifest = committed(store, job.uid, KEY)
    assert manifest == written
    assert read_file(store, manifest, DATA) == b"rows"
    assert summary_of(manifest, GenerateSummary) == SUMMARY


def test_the_same_commit_writes_the_same_bytes(store: Store, job: StageInput) -> None:
    committed_part(store, job)
    first = store.read(KEY)
    commit(store, job, {DATA: b"rows"}, SUMMARY, shard=2)
    assert store.read(KEY) == first


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda s: s.write(DATA, b"row"), "has 3 bytes, its manifest says 4: it is truncated", id="truncated"),
        pytest.param(lambda s: s.write(DATA, b"ROWS"), "sha256 .* was changed after it was written", id="changed"),
        pytest.param(lambda s: s.delete(DATA), "is named by its manifest but is gone", id="gone"),
    ],
)
def test_a_spoilt_file_is_refused_by_name(store: Store, job: StageInput, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    manifest = committed_part(store, job)
    spoil(store)
    with pytest.raises(CorruptError, match=f"part-00002.parquet.*{message}"):
        read_file(store, manifest, DATA)


def test_a_manifest_of_another_run_is_refused(store: Store, job: StageInput) -> None:
    committed_part(store, job)
    with pytest.raises(CorruptError, match="belongs to the run with uid u1, not to u2"):
        committed(store, "u2", KEY)


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2}', b"\xff\xfe"], ids=["empty", "half", "bare", "binary"])
def test_a_broken_manifest_is_refused(store: Store, job: StageInput, content: bytes) -> None:
    store.write(KEY, content)
    with pytest.raises(CorruptError, match="is no manifest"):
        committed(store, job.uid, KEY)


@pytest.mark.parametrize("version", [1, 9], ids=["older", "newer"])
def test_another_layout_is_told_apart_and_not_read(store: Store, job: StageInput, version: int) -> None:
    committed_part(store, job)
    store.write(KEY, store.read(KEY).replace(b'"version": 2', f'"version": {version}'.encode()))
    with pytest.raises(CorruptError, match=f"was written in layout {version}, this version reads and writes 2: go on with"):
        committed(store, job.uid, KEY)


def test_a_manifest_of_another_stage_is_no_summary_of_this_one(store: Store, job: StageInput) -> None:
    with pytest.raises(CorruptError, match="holds a summary of type generate, and no TrainSummary"):
        summary_of(committed_part(store, job), TrainSummary)


def test_a_file_that_no_manifest_names_is_not_read(store: Store, job: StageInput) -> None:
    manifest = committed_part(store, job)
    store.write("other", b"x")
    with pytest.raises(CorruptError, match="not named"):
        read_file(store, manifest, "other")


def test_a_checkpoint_is_fetched_once_and_mended_where_it_is_spoilt(store: Store, job: StageInput, tmp_path: Path) -> None:
    prefix = "rounds/0001/train/checkpoint"
    (tmp_path / "w").write_bytes(b"weights")
    files = {f"{prefix}/a/model": tmp_path / "w", f"{prefix}/config": b"{}", "elsewhere": b"-"}
    manifest = commit(store, job, files, SUMMARY)
    folder = fetch_files(store, manifest, prefix, tmp_path / "local")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == ["a/model", "config"]
    (folder / "config").write_bytes(b"[]")
    fetch_files(store, manifest, prefix, folder)
    assert (folder / "config").read_bytes() == b"{}"


def test_a_run_has_a_prefix_of_its_own(job: StageInput, tmp_path: Path) -> None:
    run_store(job).write("run.json", b"{}")
    assert (tmp_path / "default" / "r" / "u1" / "run.json").is_file()
