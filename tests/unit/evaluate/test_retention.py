"""storage.keepCheckpoints: what stays, what goes, and that no manifest names what is gone."""

from pathlib import Path

import pytest
from tests.summaries import figure, scored, stage_summary

from evolution_api.figures import Figures
from evolution_api.jobs import StageInput
from evolution_api.layout import checkpoint_prefix, manifest_key, stage_prefix
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.retention import keep_and_drop, prune
from evolution_storage.store import Store
from evolution_storage.uri import run_store


def job(root: Path, round_: int, keep: int | None) -> StageInput:
    return StageInput.model_validate(
        {
            "namespace": "default",
            "run": "loop",
            "uid": "u1",
            "stage": "evaluate",
            "round": round_,
            "spec": {
                "model": {"uri": "file:///nowhere"},
                "scenes": {"uri": "file:///nowhere"},
                "storage": {"uri": f"file://{root}", "keep_checkpoints": keep},
            },
        }
    )


@pytest.mark.parametrize(
    ("scores", "keep", "checkpoints", "states"),
    [
        ({1: 0.5}, 1, set(), set()),
        ({1: 0.5, 2: 0.6, 3: 0.7}, 1, {1, 2}, {1, 2}),
        ({1: 0.5, 2: 0.9, 3: 0.7}, 1, {1}, {1, 2}),
        ({1: 0.5, 2: 0.9, 3: 0.7}, 2, {1}, {1, 2}),
        ({1: 0.5, 2: 0.5, 3: 0.4}, 1, set(), {1, 2}),
        ({1: 0.50002, 2: 0.50004, 3: 0.4}, 1, set(), {1, 2}),
        ({1: None, 2: 0.3, 3: None, 4: 0.2}, 1, {1, 3}, {1, 2, 3}),
        ({1: None, 2: None}, 1, {1}, {1}),
        ({}, 1, set(), set()),
    ],
    ids=[
        "the only one stays",
        "newest is best",
        "best stays",
        "best among newest",
        "equal bests stay",
        "equal when rounded",
        "some not evaluated",
        "none evaluated",
        "none",
    ],
)
def test_what_is_dropped(scores: dict[int, float | None], keep: int, checkpoints: set[int], states: set[int]) -> None:
    assert keep_and_drop(scores, keep) == (checkpoints, states)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three trained and evaluated rounds; the first is the best."""
    store = run_store(job(tmp_path, 3, 1))
    for round_, score in ((1, 0.9), (2, 0.5), (3, 0.6)):
        stage = job(tmp_path, round_, 1)
        train = stage.model_copy(update={"stage": "train"})
        prefix = stage_prefix(round_, "train")
        names = ("checkpoint/model.safetensors", "state/optimizer", "metrics.jsonl")
        commit(store, train, {f"{prefix}/{name}": name.encode() for name in names}, stage_summary("train", round_))
        found = Figures(checkpoint="x", figures={"score": figure(1 - score), "seeing": figure(score)})
        files = {f"{stage_prefix(round_, 'evaluate')}/figures.json": found.model_dump_json().encode()}
        commit(store, stage, files, scored(score=1 - score))
    return store


def left(store: Store) -> list[str]:
    return [key.removeprefix("rounds/") for key in store.list("rounds") if "/train/" in key and "manifest" not in key]


def test_the_newest_the_best_and_the_last_state_stay(store: Store, tmp_path: Path) -> None:
    prune(store, job(tmp_path, 3, 1))
    assert left(store) == [
        "0001/train/checkpoint/model.safetensors",
        "0001/train/metrics.jsonl",
        "0002/train/metrics.jsonl",
        "0003/train/checkpoint/model.safetensors",
        "0003/train/metrics.jsonl",
        "0003/train/state/optimizer",
    ]


def test_every_manifest_can_still_be_read_whole(store: Store, tmp_path: Path) -> None:
    prune(store, job(tmp_path, 3, 1))
    for round_ in (1, 2, 3):
        manifest = committed(store, "u1", manifest_key(round_, "train"))
        assert manifest is not None
        assert [read_file(store, manifest, file.path) for file in manifest.files]


def test_pruning_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    prune(store, job(tmp_path, 3, 1))
    before = {key: store.read(key) for key in store.list("")}
    prune(store, job(tmp_path, 3, 1))
    assert {key: store.read(key) for key in store.list("")} == before


def test_a_removal_that_was_cut_short_is_finished_the_next_time(store: Store, tmp_path: Path) -> None:
    """The manifest had let go of the checkpoint, but the process died before the files went."""
    prune(store, job(tmp_path, 3, 1))
    leftover = f"{checkpoint_prefix(2)}/model.safetensors"
    store.write(leftover, b"x")
    prune(store, job(tmp_path, 3, 1))
    assert not store.exists(leftover)


def test_without_a_limit_everything_stays(store: Store, tmp_path: Path) -> None:
    before = left(store)
    prune(store, job(tmp_path, 3, None))
    assert left(store) == before


def test_what_the_next_round_trains_from_is_never_dropped(store: Store, tmp_path: Path) -> None:
    for round_ in (1, 2, 3):
        prune(store, job(tmp_path, round_, 1))
        assert store.exists(f"{checkpoint_prefix(round_)}/model.safetensors")
        assert store.exists(f"{stage_prefix(round_, 'train')}/state/optimizer")
