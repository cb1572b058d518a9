"""Training as it is started in a pod: two processes, a tiny model with random weights, real rooms and questions."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.summaries import stage_summary
from tests.testbed.tools.daemon import accepts, eventually, free_ports

from evolution_api.endings import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_TERMINATED, LastWords
from evolution_api.jobs import StageInput
from evolution_api.kinds import StageName
from evolution_api.layout import ENV_INPUT, ENV_TERMINATION_LOG, SCENE_PLAN_KEY, checkpoint_prefix, manifest_key, part
from evolution_api.question import Question
from evolution_api.results import Manifest, ProbeResult, TrainStep
from evolution_api.run.scenes import Procedural
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import ScenePlan
from evolution_api.summaries import TrainSummary
from evolution_storage.manifests import commit, committed, read_file, summary_of
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet
from evolution_storage.uri import run_store

pytestmark = pytest.mark.slow

STEPS = 6
START_S = 120
"""Longest wait for a line of the log: two processes import torch, transformers and DeepSpeed on a busy machine first."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model and a run whose first three rounds have been asked: six rooms, one shard."""
    from evolution_jobs.generate import main as generate
    from evolution_jobs.scenes.prepare import prepare_procedural
    from evolution_jobs.tiny import qwen3_vl

    folder = tmp_path_factory.mktemp("world")
    qwen3_vl.build(folder / "base")
    rooms = Procedural(rooms=6, width=64, height=64)
    train, _ = prepare_procedural((folder / "scenes").as_uri(), rooms, 0, 4)
    prepare = stage(folder, folder / "storage", "prepare", 0)
    plan = ScenePlan(root_uri=(folder / "scenes").as_uri(), train=tuple(train), heldout=(), benchmark=("vsibench",))
    commit(run_store(prepare), prepare, {SCENE_PLAN_KEY: plan.model_dump_json().encode()}, stage_summary("prepare"))
    for round_ in (1, 2, 3):
        generate(stage(folder, folder / "storage", "generate", round_))
    return folder


def stage(world: Path, storage: Path, stage: StageName, round_: int, **changes: Any) -> StageInput:
    """A stage of the run; `changes` are to spec.training."""
    spec = EvolutionRunSpec.model_validate(
        {
            "seed": 3,
            "model": {"uri": (world / "base").as_uri(), "dtype": "float32", "choices": "text"},
            "scenes": {"uri": (world / "scenes").as_uri(), "frames_per_scene": 4, "allow_benchmark_scenes": True},
            "generation": {"shards": 1, "parallelism": 1, "questions_per_scene": 6},
            "difficulty": {"signal": changes.pop("signal", "probe")},
            "training": {
                "steps": STEPS,
                "global_batch_size": 8,
                "micro_batch_size": 4,
                "learning_rate": 1e-3,
                "processes_per_node": 2,
                "checkpoint_every": 2,
                **changes,
            },
            "storage": {"uri": storage.as_uri()},
            "scheduling": {"accelerator": "none"},
        }
    )
    return StageInput(namespace="default", run="trial", uid="0000-1111", stage=stage, round=round_, spec=spec)


@pytest.fixture
def storage(world: Path, tmp_path: Path) -> Path:
    """A copy of the run's storage of its own."""
    subprocess.run(["cp", "-r", str(world / "storage"), str(tmp_path / "storage")], check=True)
    return tmp_path / "storage"


class Training:
    """One start of the program, in a process group of its own."""

    def __init__(self, job: StageInput, folder: Path, node: int = 0, port: int | None = None) -> None:
        self.log = folder / "log"
        self.words = folder / "words"
        training = job.spec.training
        injected = {
            "PET_NNODES": str(training.nodes),
            "PET_NODE_RANK": str(node),
            "PET_NPROC_PER_NODE": str(training.processes_per_node),
            "PET_MASTER_ADDR": "127.0.0.1",
            "PET_MASTER_PORT": str(port or free_ports(1)[0]),
        }
        ours = {ENV_INPUT: job.model_dump_json(), ENV_TERMINATION_LOG: str(self.words), "OMP_NUM_THREADS": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "evolution_jobs.train"],
                env={**os.environ, **injected, **ours},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def reach(self, text: str) -> None:
        """Wait until the log says `text`."""
        deadline = time.monotonic() + START_S
        while text not in self.log.read_text():
            assert self.process.poll() is None, f"ended before {text!r}:\n{self.log.read_text()[-4000:]}"
            assert time.monotonic() < deadline, f"no {text!r}:\n{self.log.read_text()[-4000:]}"
            time.sleep(0.02)

    def end(self, expected: int = 0) -> LastWords:
        code = self.process.wait(START_S)
        assert code == expected, self.log.read_text()[-6000:]
        return LastWords.model_validate_json(self.words.read_text())

    def children(self) -> list[int]:
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in pids]

    def kill_all(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[StageInput], Training]]:
    started: list[Training] = []

    def start_one(job: StageInput) -> Training:
        folder = tmp_path / f"start-{len(started)}"
        folder.mkdir()
        started.append(Training(job, folder))
        return started[-1]

    yield start_one
    for training in started:
        if training.process.poll() is None:
            training.kill_all()


@pytest.fixture(scope="module")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Storage after a first round that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(["cp", "-r", str(world / "storage"), str(folder / "storage")], check=True)
    Training(stage(world, folder / "storage", "train", 1), folder).end()
    return folder / "storage"


def opened(world: Path, storage: Path, round_: int = 1) -> tuple[Store, Manifest, list[TrainStep]]:
    job = stage(world, storage, "train", round_)
    store = run_store(job)
    manifest = committed(store, job.uid, manifest_key(round_, "train"))
    assert manifest is not None
    lines = read_file(store, manifest, f"rounds/{round_:04d}/train/metrics.jsonl").splitlines()
    return store, manifest, [TrainStep.model_validate_json(line) for line in lines]


def test_a_round_leaves_a_checkpoint_that_opens_and_says_what_it_was_trained_on(world: Path, undisturbed: Path) -> None:
    from evolution_jobs.model.solver import Solver

    store, manifest, steps = opened(world, undisturbed)
    folder = store.local_path(checkpoint_prefix(1))
    assert folder is not None
    Solver.load(folder, "float32", "cpu")
    note = json.loads((folder / "evolution.json").read_text())
    assert note["trained_on_validation_scenes_of"] == ["vsibench"]
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    assert all(len(step.questions) == 8 for step in steps)
    assert steps[-1].loss < steps[0].loss
    summary = summary_of(manifest, TrainSummary)
    assert summary.questions == STEPS * 8
    assert summary.train_loss == pytest.approx(sum(s.loss for s in steps) / STEPS)
    assert not store.list("rounds/0001/train/partial")


def test_kill_9_of_the_whole_tree_then_a_second_start_gives_the_same_bytes(
    world: Path, storage: Path, undisturbed: Path, start: Callable[[StageInput], Training]
) -> None:
    job = stage(world, storage, "train", 1)
    killed = start(job)
    killed.reach("5/6 steps")
    killed.kill_all()
    again = start(job)
    again.reach("goes on after step 4")
    again.end()
    assert opened(world, storage)[1] == opened(world, undisturbed)[1]


def test_sigterm_saves_the_state_exits_143_and_the_next_start_goes_on_from_there(
    world: Path, storage: Path, undisturbed: Path, start: Callable[[StageInput], Training]
) -> None:
    job = stage(world, storage, "train", 1, checkpoint_every=100)
    told = start(job)
    told.reach("2/6 steps")
    told.process.send_signal(signal.SIGTERM)
    assert "SIGTERM" in str(told.end(EXIT_TERMINATED).error)
    again = start(job)
    again.reach("the round goes on after step")
    again.end()
    assert opened(world, storage)[1] == opened(world, undisturbed)[1]


def test_a_dead_process_ends_the_others_and_is_named(world: Path, storage: Path, start: Callable[[StageInput], Training]) -> None:
    training = start(stage(world, storage, "train", 1, steps=1000))
    training.reach("2/1000 steps")
    os.kill(training.children()[-1], signal.SIGKILL)
    summary = training.end(EXIT_FAILED)
    assert "was killed by SIGKILL" in str(summary.error)
    assert summary.retryable


def test_two_pods_of_one_process_write_what_one_pod_of_two_writes(
    world: Path, storage: Path, undisturbed: Path, tmp_path: Path
) -> None:
    job = stage(world, storage, "train", 1, nodes=2, processes_per_node=1)
    port = free_ports(1)[0]
    pods = []
    for node in (0, 1):
        (tmp_path / f"node-{node}").mkdir()
        pods.append(Training(job, tmp_path / f"node-{node}", node, port))
    try:
        first, second = (pod.end() for pod in pods)
    finally:
        for pod in pods:
            if pod.process.poll() is None:
                pod.kill_all()
    assert first.summary == second.summary
    assert opened(world, storage)[1] == opened(world, undisturbed)[1]


def test_sigterm_ends_a_pod_that_waits_for_another_one(world: Path, storage: Path, tmp_path: Path) -> None:
    port = free_ports(1)[0]
    alone = Training(stage(world, storage, "train", 1, nodes=2, processes_per_node=1), tmp_path, 0, port)
    try:
        alone.reach("pod 1 of 2 waits for the others")
        eventually(lambda: accepts(port), "others may come")
        alone.process.send_signal(signal.SIGTERM)
        assert "SIGTERM" in str(alone.end(EXIT_TERMINATED).error)
    finally:
        if alone.process.poll() is None:
            alone.kill_all()


def test_a_committed_round_is_left_alone(world: Path, undisturbed: Path, start: Callable[[StageInput], Training]) -> None:
    summary = start(stage(world, undisturbed, "train", 1)).end().summary
    assert isinstance(summary, TrainSummary)
    assert summary.steps == STEPS


def test_the_second_round_goes_on_from_the_first_ones_optimiser_state(
    world: Path, undisturbed: Path, start: Callable[[StageInput], Training]
) -> None:
    import torch

    start(stage(world, undisturbed, "train", 2)).end()
    store, _, steps = opened(world, undisturbed, 2)
    assert [step.step for step in steps] == list(range(STEPS + 1, 2 * STEPS + 1))
    moments = []
    for round_ in (1, 2):
        path = store.local_path(f"rounds/{round_:04d}/train/state/rank-00000/zero_pp_rank_0_mp_rank_00_optim_states.pt")
        assert path is not None
        state = torch.load(path, weights_only=False)["optimizer_state_dict"]["base_optimizer_state"]
        moments.append(state["state"][0] if "state" in state else state[0])
    assert int(moments[0]["step"]) == STEPS
    assert int(moments[1]["step"]) == 2 * STEPS
    changed = start(stage(world, undisturbed, "train", 3, processes_per_node=1)).end(EXIT_BAD_INPUT)
    assert "set it back to 2" in str(changed.error)
    assert not changed.retryable


@pytest.mark.parametrize("zero", [0, 1, 3])
def test_every_zero_stage_has_the_same_losses(
    zero: int, world: Path, storage: Path, undisturbed: Path, start: Callable[[StageInput], Training]
) -> None:
    start(stage(world, storage, "train", 1, deepspeed={"zero_stage": zero}, micro_batch_size=1)).end()
    losses = [step.loss for step in opened(world, storage)[2]]
    assert losses == pytest.approx([step.loss for step in opened(world, undisturbed)[2]], abs=1e-5)


def test_confidences_of_the_training_pass_become_the_rounds_probe_parts(
    world: Path, storage: Path, start: Callable[[StageInput], Training]
) -> None:
    job = stage(world, storage, "train", 1, signal="training")
    summary = start(job).end().summary
    store = run_store(job)
    probed = committed(store, job.uid, manifest_key(1, "probe", 0))
    made = committed(store, job.uid, manifest_key(1, "generate", 0))
    assert probed is not None
    assert made is not None
    results = from_parquet(read_file(store, probed, f"{part(1, 'probe', 0)}.parquet"), ProbeResult)
    asked = from_parquet(read_file(store, made, f"{part(1, 'generate', 0)}.parquet"), Question)
    assert {result.question for result in results} == {question.id for question in asked}
    assert isinstance(summary, TrainSummary)
    assert sum(summary.labels.values()) == len(asked)
    assert summary.mean_confidence is not None
    assert 0 < summary.mean_confidence < 1
