"""Which state a round goes on from: the newest whole one of its own middle, else the end of the round before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.summaries import trained

from evolution_api.jobs import StageInput
from evolution_jobs.program import BadInputError
from evolution_jobs.train import checkpoint
from evolution_storage.manifests import commit
from evolution_storage.uri import run_store

Jobs = Callable[..., StageInput]


def save(job: StageInput, step: int, folder: Path) -> None:
    store = run_store(job)
    folder.mkdir(exist_ok=True)
    names = (checkpoint.COMMON, "zero_pp_rank_0_mp_rank_00_optim_states.pt", "zero_to_fp32.py")
    for name in names:
        (folder / name).write_text(f"{name} at {step}")
    stored = checkpoint.upload(store, checkpoint.step_prefix(1, step), 0, [folder / name for name in names])
    checkpoint.commit_partial(store, job, step, {}, stored)


def test_only_the_newest_state_is_kept_and_found(job: Jobs, tmp_path: Path) -> None:
    train = job()
    store = run_store(train)
    assert checkpoint.interrupted(store, train) is None
    for step in (50, 100):
        save(train, step, tmp_path / "mine")
    found = checkpoint.interrupted(store, train)
    assert found is not None
    step, manifest = found
    assert step == 100
    assert {key.split("/")[4] for key in store.list(checkpoint.partial_prefix(1))} == {"step-000100"}
    folder = checkpoint.download(store, manifest, checkpoint.step_prefix(1, 100), 0, tmp_path / "back")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        name: f"{name} at 100" for name in (checkpoint.COMMON, "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    }


def test_a_state_without_its_manifest_does_not_exist(job: Jobs, tmp_path: Path) -> None:
    train = job()
    save(train, 50, tmp_path / "mine")
    store = run_store(train)
    checkpoint.upload(store, checkpoint.step_prefix(1, 100), 0, sorted((tmp_path / "mine").iterdir()))
    found = checkpoint.interrupted(store, train)
    assert found is not None
    assert found[0] == 50


def test_a_state_of_another_number_of_processes_is_passed_over(job: Jobs, tmp_path: Path) -> None:
    train = job()
    save(train, 50, tmp_path / "mine")
    changed = job(training={"global_batch_size": 8, "processes_per_node": 4})
    assert checkpoint.interrupted(run_store(changed), changed) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"processes_per_node": 4},
            "is 4, but round 1's optimiser state was written with 2 .* set it back to 2",
            id="processes",
        ),
        pytest.param(
            {"processes_per_node": 2, "deepspeed": {"zero_stage": 3}}, "zeroStage is 3, .* set it back to 2", id="stage"
        ),
    ],
)
def test_the_next_round_refuses_a_state_that_it_cannot_read(changes: dict[str, object], message: str, job: Jobs) -> None:
    first = job()
    commit(run_store(first), first, {}, trained())
    second = job(round_=2)
    assert checkpoint.previous(run_store(second), second).round == 1
    other = job(round_=2, training={"global_batch_size": 8, **changes})
    with pytest.raises(BadInputError, match=message):
        checkpoint.previous(run_store(other), other)


def test_a_round_that_was_never_trained_cannot_be_gone_on_from(job: Jobs) -> None:
    second = job(round_=2)
    with pytest.raises(BadInputError, match="round 1 was never trained"):
        checkpoint.previous(run_store(second), second)
