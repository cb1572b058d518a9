"""The whole loop as processes: the smoke example end to end, cut short in every stage, stopped, suspended, started twice."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evolution_api.run.resource import EvolutionRun
from evolution_operator.local.folder import Workdir

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLES = Path(__file__).parents[2] / "examples"
EVOLUTION = (sys.executable, "-c", "from evolution_cli import main; main()")
PATIENCE_S = 180.0
BEGUN: list[subprocess.Popen[bytes]] = []
"""Loops that the test under way has started; a test that fails leaves none behind."""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke example with a model beside it."""
    folder = tmp_path_factory.mktemp("smoke")
    shutil.copy(EXAMPLES / "smoke.yaml", folder)
    (folder / "tiny-model").symlink_to(EXAMPLES / "tiny-model")
    return folder / "smoke.yaml"


@pytest.fixture(scope="module")
def undisturbed(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a run that nobody disturbed."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    finish(smoke, workdir)
    return workdir


def evolution(*arguments: str | Path) -> list[str]:
    return [*EVOLUTION, *map(str, arguments)]


def finish(file: Path, workdir: Path) -> str:
    done = subprocess.run(
        evolution("run", file, "--workdir", workdir), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def begin(file: Path, workdir: Path) -> subprocess.Popen[bytes]:
    command = evolution("run", file, "--workdir", workdir)
    BEGUN.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    return BEGUN[-1]


def kept(workdir: Path) -> EvolutionRun | None:
    folders = Workdir(workdir).runs()
    return folders[0].load() if folders else None


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"never came to {what}"
        time.sleep(0.02)


def is_at(workdir: Path, round_: int, stage: str) -> bool:
    """Whether a program of that stage is running now."""
    run = kept(workdir)
    if run is None or (run.status.round, run.status.stage) != (round_, stage):
        return False
    children = Workdir(workdir).runs()[0].load_children()
    pods = [pod for child in children for pod in child["pods"] if f"-r{round_}-{stage}" in pod["metadata"]["name"]]
    return any(pod["status"]["phase"] == "Running" for pod in pods)


def marked(workdir: Path) -> set[int]:
    """Processes that a loop in this folder started."""
    return Workdir(workdir)._leftovers()


def kill_everything(loop: subprocess.Popen[bytes], workdir: Path) -> None:
    for pid in (loop.pid, *marked(workdir)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    loop.wait()


def stored(workdir: Path) -> dict[str, bytes]:
    """Key below the run's prefix -> content, with what names this very run taken out: its uid, its folder, and the manifests'
    hashes of the files that hold one of them."""
    run = kept(workdir)
    assert run is not None
    root = Path(run.spec.storage.uri.removeprefix("file://")) / run.metadata.namespace / run.metadata.name / run.metadata.uid
    raw = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    found, own = {}, set()
    for key, data in raw.items():
        found[key] = data.replace(run.metadata.uid.encode(), b"UID").replace(str(workdir).encode(), b"WORKDIR")
        if found[key] != data:
            own.add(key)
    for key in own:
        manifest = json.loads(found[key])
        for file in manifest.get("files", ()):
            if file["path"] in own:
                file["sha256"], file["bytes"] = "", 0
        found[key] = json.dumps(manifest).encode()
    return found


def assert_same(workdir: Path, other: Path) -> None:
    ours, theirs = stored(workdir), stored(other)
    assert sorted(ours) == sorted(theirs)
    assert [key for key in ours if ours[key] != theirs[key]] == []


def test_the_smoke_example_goes_through_every_stage_twice(undisturbed: Path) -> None:
    run = kept(undisturbed)
    assert run is not None
    assert run.status.phase == "Succeeded"
    assert [sorted(record.seconds) for record in run.status.rounds] == [
        ["evaluate", "prepare"],
        ["evaluate", "generate", "probe", "train"],
        ["evaluate", "generate", "probe", "train"],
    ]
    assert all(record.accepted == record.easy + record.frontier + record.hard > 0 for record in run.status.rounds[1:])
    assert marked(undisturbed) == set()


def test_a_sample_is_followed_from_its_scene_to_the_checkpoint_that_it_trained(undisturbed: Path) -> None:
    def ask(*arguments: str) -> Any:
        done = subprocess.run(
            evolution("questions", "smoke", "--workdir", undisturbed, "--json", *arguments),
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    stories = [ask("--id", row["id"]) for row in ask("--round", "2")]
    trained = [story for story in stories if story["trained_in_steps"]]
    assert trained
    for story in trained:
        assert Path(story["scene"].removeprefix("file://")).is_file()
        assert story["question"]["program"]
        assert story["asked_of"] == "round 1's checkpoint, rounds/0001/train/checkpoint"
        assert 0 <= story["probe"]["confidence"] <= 1
        assert {entry["step"] for entry in story["trained_in_steps"]} <= {4, 5, 6}
        assert story["checkpoint"] == "rounds/0002/train/checkpoint"


def test_killed_in_every_stage_and_started_again_it_ends_with_the_same_bytes(
    smoke: Path, undisturbed: Path, tmp_path: Path
) -> None:
    stages = [(0, "prepare"), (0, "evaluate"), (1, "generate"), (1, "probe"), (1, "train"), (1, "evaluate"), (2, "train")]
    for round_, stage in stages:
        loop = begin(smoke, tmp_path)
        wait_until(partial(is_at, tmp_path, round_, stage), f"{stage} of round {round_}")
        kill_everything(loop, tmp_path)
    finish(smoke, tmp_path)
    assert_same(tmp_path, undisturbed)
    run = kept(tmp_path)
    assert run is not None
    assert run.status.attempt == 1


def test_no_process_outlives_a_killed_loop(smoke: Path, tmp_path: Path) -> None:
    loop = begin(smoke, tmp_path)
    wait_until(lambda: is_at(tmp_path, 0, "prepare"), "preparing")
    assert marked(tmp_path)
    loop.kill()
    loop.wait()
    wait_until(lambda: not marked(tmp_path), "be alone")


def test_a_second_start_in_the_same_folder_is_refused_with_a_sentence(smoke: Path, tmp_path: Path) -> None:
    loop = begin(smoke, tmp_path)
    wait_until(lambda: is_at(tmp_path, 0, "prepare"), "preparing")
    second = subprocess.run(evolution("run", smoke, "--workdir", tmp_path), capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert f"in use by process {loop.pid}" in second.stderr
    kill_everything(loop, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_stopped_by_hand_it_ends_its_programs_and_goes_on_later(
    smoke: Path, undisturbed: Path, tmp_path: Path, number: signal.Signals
) -> None:
    loop = begin(smoke, tmp_path)
    wait_until(lambda: is_at(tmp_path, 1, "train"), "training")
    loop.send_signal(number)
    assert loop.wait(60) == 130
    assert marked(tmp_path) == set()
    finish(smoke, tmp_path)
    assert_same(tmp_path, undisturbed)


def test_suspended_from_another_terminal_it_lets_go_and_goes_on_later(smoke: Path, undisturbed: Path, tmp_path: Path) -> None:
    loop = begin(smoke, tmp_path)
    wait_until(lambda: is_at(tmp_path, 1, "generate"), "generating")
    asked = subprocess.run(
        evolution("run", smoke, "--suspend", "--workdir", tmp_path), capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0
    assert "suspended" in asked.stdout
    assert loop.wait(60) == 0
    run = kept(tmp_path)
    assert run is not None
    assert run.status.phase == "Suspended"
    finish(smoke, tmp_path)
    assert_same(tmp_path, undisturbed)


def test_a_failed_run_says_why_and_is_resumed_once_it_is_mended(smoke: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    file = tmp_path / "smoke.yaml"
    file.write_text(smoke.read_text().replace("./tiny-model", "./broken"))
    failed = subprocess.run(
        evolution("run", file, "--workdir", tmp_path / "w"), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert failed.returncode == 1
    assert "evaluate of round 0/2 cannot succeed" in failed.stderr
    assert "Traceback" not in failed.stderr
    shutil.rmtree(tmp_path / "broken")
    shutil.copytree(smoke.parent / "tiny-model", tmp_path / "broken")
    resumed = subprocess.run(
        evolution("resume", "smoke", "--workdir", tmp_path / "w"), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a run's scenes and questions, not for its checkpoints."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_fails_the_run_by_name_and_room_lets_it_go_on(smoke: Path, small_disk: Path, undisturbed: Path) -> None:
    workdir = small_disk / "w"
    failed = subprocess.run(
        evolution("run", smoke, "--workdir", workdir), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "No space left on device" in failed.stderr
    assert "Traceback" not in failed.stderr
    subprocess.run(["mount", "-o", "remount,size=1g", str(small_disk)], check=True)
    resumed = subprocess.run(
        evolution("resume", "smoke", "--workdir", workdir), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_same(workdir, undisturbed)


@pytest.fixture(autouse=True)
def _nothing_is_left_running(tmp_path: Path) -> Iterator[None]:
    yield
    while BEGUN:
        loop = BEGUN.pop()
        loop.kill()
        loop.wait()
    for pid in marked(tmp_path) | marked(tmp_path / "w") | marked(tmp_path / "disk" / "w"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
