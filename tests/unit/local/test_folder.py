"""The folder that stands for a cluster's memory: locked by one, replaced whole, freed of leftovers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evolution_api.run.resource import EvolutionRun
from evolution_operator.errors import BusyError, RefusedError
from evolution_operator.local.folder import ENV_WORKDIR, RunFolder, Workdir, write_atomically


def run_named(name: str = "smoke", namespace: str = "default") -> EvolutionRun:
    spec = {"model": {"uri": "hf://a/b"}, "scenes": {"procedural": {}}, "storage": {"uri": "file:///tmp/x"}}
    return EvolutionRun.model_validate({"metadata": {"name": name, "namespace": namespace}, "spec": spec})


def test_a_second_loop_is_refused_and_told_who_works_there(tmp_path: Path) -> None:
    with Workdir(tmp_path).lock():
        assert Workdir(tmp_path).holder() == os.getpid()
        with pytest.raises(BusyError, match=f"process {os.getpid()}"), Workdir(tmp_path).lock():
            pass
    assert Workdir(tmp_path).holder() is None
    with Workdir(tmp_path).lock():
        pass


def test_a_dead_loop_holds_no_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from evolution_operator.local.folder import Workdir\n"
        "with Workdir(Path(sys.argv[1])).lock(): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with Workdir(tmp_path).lock():
        assert Workdir(tmp_path).holder() == os.getpid()


def test_leftovers_are_known_by_their_mark_and_killed(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(sleep, env={**os.environ, ENV_WORKDIR: str(tmp_path)}, start_new_session=True)
    other = subprocess.Popen(sleep, env={**os.environ, ENV_WORKDIR: f"{tmp_path}/other"})
    try:
        time.sleep(0.2)
        import threading

        waiter = threading.Thread(target=ours.wait)  # init reaps orphans; here we are the parent
        waiter.start()
        assert Workdir(tmp_path).kill_leftovers() == 1
        waiter.join(5)
        assert ours.returncode == -9
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()


def test_a_run_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    folder = Workdir(tmp_path).run_folder("default", "smoke")
    folder.save(run_named())
    assert folder.load() == run_named()
    assert [f.path for f in Workdir(tmp_path).runs()] == [folder.path]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.json", "one")
    write_atomically(tmp_path / "a" / "b.json", "two")
    assert (tmp_path / "a" / "b.json").read_text() == "two"
    assert len(list((tmp_path / "a").iterdir())) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param("nothing", "no run 'nothing'.*default/one, default/two, other/one", id="unknown"),
        pytest.param("one", "several namespaces.*default/one, other/one", id="ambiguous"),
    ],
)
def test_a_run_that_is_not_clear_is_asked_back(tmp_path: Path, asked: str, message: str) -> None:
    for namespace, name in (("default", "one"), ("default", "two"), ("other", "one")):
        Workdir(tmp_path).run_folder(namespace, name).save(run_named(name, namespace))
    with pytest.raises(RefusedError, match=message):
        Workdir(tmp_path).find(asked)


def test_runs_are_found_by_name_or_with_their_namespace(tmp_path: Path) -> None:
    for namespace, name in (("default", "one"), ("default", "two"), ("other", "one")):
        Workdir(tmp_path).run_folder(namespace, name).save(run_named(name, namespace))
    assert Workdir(tmp_path).find("two").path == tmp_path / "default" / "two"
    assert Workdir(tmp_path).find("other/one").path == tmp_path / "other" / "one"


@pytest.mark.parametrize("content", ["", "{", '{"kind": "EvolutionRun"}'], ids=["empty", "cut", "another shape"])
def test_a_broken_run_file_is_told_in_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RefusedError, match=r"run\.json is no run of this version"):
        RunFolder(tmp_path).load()
