"""The folder that stands for the cluster's memory: run objects, children, logs. Used by the loop and by commands that look.

    <workdir>/lock                                   held while a loop works here
    <workdir>/<namespace>/<run>/run.json             the EvolutionRun with its status
    <workdir>/<namespace>/<run>/children/*.json      one child with its pods, as the API server would show them
    <workdir>/<namespace>/<run>/logs/<pod>.log       what the pod's program printed, all its starts one after the other

Every file is replaced whole, so that a reader and a second start find the state before or after a change, never between. It knows
nothing of what the objects mean.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evolution_api.run.resource import EvolutionRun
from evolution_operator.errors import BusyError, RefusedError

ENV_WORKDIR = "EVOLUTION_WORKDIR"
"""Marks every process that a loop starts; a later loop finds by it what an earlier one left behind."""
LEFTOVER_WAIT_S = 10.0
"""Longest wait for killed processes to be gone; the kernel needs milliseconds unless one hangs in a device."""


def write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text)
    draft.replace(path)


class RunFolder:
    """Where one run's objects and logs lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"
        self.scratch = path / "scratch"
        """Files that a pod has for itself: termination messages, temporary files."""
        self._children = path / "children"

    def exists(self) -> bool:
        return (self.path / "run.json").exists()

    def load(self) -> EvolutionRun:
        """Raises RefusedError where the run is missing or unreadable."""
        try:
            return EvolutionRun.model_validate_json((self.path / "run.json").read_text())
        except FileNotFoundError:
            raise RefusedError(f"no run is kept in {self.path}; start one with `evolution run FILE`") from None
        except ValueError as error:
            raise RefusedError(
                f"{self.path / 'run.json'} is no run of this version ({str(error).splitlines()[0]}); go on with the version that "
                f"began it, or remove {self.path}"
            ) from error

    def save(self, run: EvolutionRun) -> None:
        write_atomically(self.path / "run.json", run.model_dump_json(by_alias=True, indent=1) + "\n")

    def load_children(self) -> Iterator[dict[str, Any]]:
        for path in sorted(self._children.glob("*.json")):
            yield json.loads(path.read_text())

    def save_child(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        write_atomically(self._children / f"{kind}.{name}.json", json.dumps(content, indent=1) + "\n")

    def delete_child(self, kind: str, name: str) -> None:
        (self._children / f"{kind}.{name}.json").unlink(missing_ok=True)


class Workdir:
    """The folder of `--workdir`; at most one loop works in it at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def run_folder(self, namespace: str, name: str) -> RunFolder:
        return RunFolder(self.path / namespace / name)

    def runs(self) -> list[RunFolder]:
        return [RunFolder(file.parent) for file in sorted(self.path.glob("*/*/run.json"))]

    def find(self, run: str) -> RunFolder:
        """The run of that name, given as `name` or `namespace/name`. Raises RefusedError."""
        found = [f for f in self.runs() if run in (f.path.name, f"{f.path.parent.name}/{f.path.name}")]
        if len(found) == 1:
            return found[0]
        names = [f"{f.path.parent.name}/{f.path.name}" for f in found or self.runs()]
        if found:
            raise RefusedError(f"run {run!r} stands in several namespaces; say which: {', '.join(names)}")
        there = f"there are {', '.join(names)}" if names else "there is none; start one with `evolution run FILE`"
        raise RefusedError(f"no run {run!r} in {self.path}: {there}; another folder is named with --workdir")

    def holder(self) -> int | None:
        """Process id of the loop that works here now."""
        try:
            with (self.path / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return int((self.path / "lock").read_text() or 0)
        return None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Raises BusyError where another loop works here. The kernel lets go when the process ends, however it ends."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise BusyError(
                    f"{self.path} is in use by process {file.read().strip()}: two loops would write the same files; "
                    "wait for it, stop it, or name another folder with --workdir"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def kill_leftovers(self) -> int:
        """End what an earlier loop in this folder left running, and return how many processes that were.

        They are known by a variable in the environment that they were started with, which no other process has. Raises
        RefusedError where one does not go.
        """
        deadline = time.monotonic() + LEFTOVER_WAIT_S
        killed: set[int] = set()
        while found := self._leftovers():
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            killed |= found
            if time.monotonic() > deadline:
                raise RefusedError(
                    f"processes {sorted(found)} of an earlier start in {self.path} do not end; end them and start again"
                )
            time.sleep(0.01)
        return len(killed)

    def _leftovers(self) -> set[int]:
        mark = f"{ENV_WORKDIR}={self.path}".encode()
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            # Other users' processes cannot be read, and a process may end while it is looked at.
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    found.add(int(process.name))
        return found
