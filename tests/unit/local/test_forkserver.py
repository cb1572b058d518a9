"""The fork server: programs in it behave as if each had been started on its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evolution_jobs.forkserver import STEPS
from evolution_operator.children.onemachine import Process
from evolution_operator.local.programs import Programs

PATIENCE_S = 10.0


def start(programs: Programs, tmp_path: Path, order: str, module: str = "doubles.obey", threads: int = 1) -> Process:
    env = {"ORDER": order, "EVOLUTION_TERMINATION_LOG": str(tmp_path / "said")}
    return programs.start(module, [], env=env, cwd=tmp_path, log=tmp_path / "log", threads=threads)


def ended(programs: Programs, process: Process) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while process.exit is None:
        assert time.monotonic() < deadline, "it does not end"
        programs.read()
        time.sleep(0.005)
    return process.exit


def wait_for_log(tmp_path: Path, programs: Programs, word: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (tmp_path / "log").exists() or word not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline, f"{word!r} was never logged"
        time.sleep(0.005)
    programs.read()


@pytest.mark.parametrize(
    ("order", "code"), [("say hello", 0), ("exit 0", 0), ("exit 2", 2), ("exit 143", 143), ("raise it", 1)], ids=str
)
def test_the_exit_code_is_the_programs_own(programs: Programs, tmp_path: Path, order: str, code: int) -> None:
    assert ended(programs, start(programs, tmp_path, order)) == code


def test_an_uncaught_error_leaves_its_traceback_in_the_log(programs: Programs, tmp_path: Path) -> None:
    ended(programs, start(programs, tmp_path, "raise the roof"))
    assert "RuntimeError: the roof" in (tmp_path / "log").read_text()


def test_the_environment_is_the_given_one_and_no_other(programs: Programs, tmp_path: Path) -> None:
    ended(programs, start(programs, tmp_path, "tell PATH,ORDER"))
    assert (tmp_path / "said").read_text() == "- tell PATH,ORDER"


def test_temporary_files_are_where_the_given_environment_says(programs: Programs, tmp_path: Path) -> None:
    env = {"ORDER": "make-a-temporary-folder", "EVOLUTION_TERMINATION_LOG": str(tmp_path / "said"), "TMPDIR": str(tmp_path)}
    ended(programs, programs.start("doubles.obey", [], env=env, cwd=tmp_path, log=tmp_path / "log", threads=1))
    assert Path((tmp_path / "said").read_text()).parent == tmp_path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_a_signal_ends_the_program_and_is_reported_as_a_shell_would(programs: Programs, tmp_path: Path, number: int) -> None:
    process = start(programs, tmp_path, "stay")
    wait_for_log(tmp_path, programs, "stay")
    programs.signal(process, number)
    assert ended(programs, process) == 128 + number


@pytest.mark.parametrize("module", ["os", "doubles", "doubles.obey; import os", "json.tool", "doublesx.obey"], ids=str)
def test_only_programs_of_the_named_package_are_started(programs: Programs, tmp_path: Path, module: str) -> None:
    assert ended(programs, start(programs, tmp_path, "say no", module)) == 127
    assert not (tmp_path / "said").exists()


def test_a_lost_server_is_replaced_by_the_next_start(programs: Programs, tmp_path: Path) -> None:
    process = start(programs, tmp_path, "stay")
    wait_for_log(tmp_path, programs, "stay")
    assert process.pid is not None
    server = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    assert ended(programs, process) == 137
    assert ended(programs, start(programs, tmp_path, "exit 5")) == 5


ASKING = """
import conftest, os, sys, time
from pathlib import Path
from evolution_operator.local.programs import Programs

folder = Path(sys.argv[1])
programs = Programs(dict(os.environ), folder / "server", conftest.SERVER)
process = programs.start("doubles.obey", [], env={"ORDER": "stay"}, cwd=folder, log=folder / "log", threads=1)
while process.pid is None:
    programs.read()
    time.sleep(0.01)
print(process.pid, flush=True)
time.sleep(60)
"""


def test_every_program_dies_when_the_one_who_asked_for_it_is_killed(tmp_path: Path) -> None:
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    asking = subprocess.Popen([sys.executable, "-c", ASKING, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=here)
    with asking:
        assert asking.stdout is not None
        pid = int(asking.stdout.readline())
        asking.kill()
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline, "the program outlived its starter"
        time.sleep(0.01)


WARMING = (
    "import sys; from evolution_jobs.forkserver import Step, main; steps = ["
    "Step(('doubles.slow_import',), frozenset()), Step(('doubles',), frozenset({'doubles.obey'}))"
    "]; main(sys.argv[1:], packages=['doubles'], steps=steps)"
)


def test_a_program_asked_for_too_early_starts_when_its_imports_are_done(programs: Programs, tmp_path: Path) -> None:
    programs.command = (sys.executable, "-c", WARMING)
    assert ended(programs, start(programs, tmp_path, "exit 3")) == 3


def test_a_program_that_waits_for_its_imports_can_be_ended(programs: Programs, tmp_path: Path) -> None:
    programs.command = (sys.executable, "-c", WARMING)
    process = start(programs, tmp_path, "say never")
    programs.signal(process, signal.SIGTERM)
    assert ended(programs, process) == 143
    assert not (tmp_path / "said").exists()


def test_what_is_imported_ahead_names_modules_once_and_every_program() -> None:
    modules = [module for step in STEPS for module in step.modules]
    assert len(set(modules)) == len(modules)
    programs = {program for step in STEPS for program in step.ready}
    names = ("prepare", "generate", "probe", "serve", "train", "evaluate", "cleanup")
    assert programs == {f"evolution_jobs.{name}" for name in names}
