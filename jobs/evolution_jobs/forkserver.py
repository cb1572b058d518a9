"""A warm parent for the programs of `evolution run` on one machine: heavy modules are imported once, each program is a fork.

The local adapter starts `python -m evolution_jobs.forkserver FD PARENT_PID` with one end of a Unix socket pair and talks
JSON lines:

    -> {"id": "p1", "module": "evolution_jobs.prepare", "args": [], "env": {...}, "cwd": "/...", "log": "/...", "threads": 1}
    -> {"id": "p1", "signal": 15}              to the program; SIGKILL to all that it started too
    <- {"id": "p1", "pid": 4242}               it runs
    <- {"id": "p1", "exit": 0}                 it is gone, and all that it started with it; 128 + n for signal n

It dies with its parent, and every program dies with it. It has no threads, so that a fork copies nothing half done. It knows
nothing of runs, stages or Kubernetes.
"""

import atexit
import contextlib
import gc
import importlib
import json
import logging
import os
import random
import re
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""

log = logging.getLogger("evolution.forkserver")


class Step(NamedTuple):
    """Modules imported in one go; requests are served between steps."""

    modules: tuple[str, ...]
    ready: frozenset[str]
    """Programs that have all they need once this step is done."""


STEPS = (
    Step(
        (
            "numpy.random",
            "pandas",  # pyarrow looks for it as soon as it makes a list of a column
            "pyarrow.pandas_compat",
            "PIL.JpegImagePlugin",
            "PIL.PngImagePlugin",
            "evolution_storage.folder",
            "evolution_storage.manifests",
            "evolution_storage.tables",
        ),
        frozenset({"evolution_jobs.cleanup"}),
    ),
    Step(("pydantic_monty", "open3d"), frozenset({"evolution_jobs.prepare"})),
    Step(("torch",), frozenset()),
    Step(
        (
            "transformers.models.qwen3_vl.modeling_qwen3_vl",
            "transformers.models.qwen3_vl.processing_qwen3_vl",
            "transformers.models.qwen3_vl.video_processing_qwen3_vl",
            "transformers.models.qwen2_vl.image_processing_qwen2_vl",
            "transformers.models.auto.processing_auto",
        ),
        frozenset({"evolution_jobs.evaluate"}),
    ),
    Step(("httpx", "httpcore", "anyio._backends._asyncio"), frozenset({"evolution_jobs.generate", "evolution_jobs.probe"})),
    Step(("kserve", "uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl"), frozenset({"evolution_jobs.serve"})),
    Step(("deepspeed", "torch.distributed.launcher.api", "evolution_jobs.train.loop"), frozenset({"evolution_jobs.train"})),
)
"""In the order in which a run's stages need them: the first program runs while the rest is still being imported."""


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when `parent` ends, however it ends."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the line above
        os._exit(1)


class Server:
    """Serves one connection until its other end closes."""

    def __init__(self, connection: socket.socket, *, packages: Collection[str], steps: Sequence[Step]) -> None:
        self.connection = connection
        self.packages = packages
        self.steps = list(steps)
        self.known = frozenset[str]().union(*(step.ready for step in steps))
        self.ready: set[str] = set()
        self.waiting: list[dict[str, Any]] = []
        self.running: dict[int, str] = {}  # pid -> id
        self.unread = b""
        self.wakeup, self.wakeup_writer = os.pipe()
        for end in (self.wakeup, self.wakeup_writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self.wakeup_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)

    def serve(self) -> None:
        while True:
            self.turn(timeout_s=0.0 if self.steps or self.waiting else None)
            if self.steps:
                self.warm(self.steps.pop(0))

    def warm(self, step: Step) -> None:
        for module in step.modules:
            try:
                importlib.import_module(module)
            except Exception:  # the program that needs it will say so in its own log
                log.warning("cannot import %s ahead of time", module, exc_info=True)
        self.ready |= step.ready
        gc.collect()
        gc.freeze()  # the collector leaves what is imported alone, so that its pages stay shared with the forks

    def turn(self, timeout_s: float | None) -> None:
        """Wait for one event and handle all that has come."""
        readable, _, _ = select.select([self.connection.fileno(), self.wakeup], [], [], timeout_s)
        if self.wakeup in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wakeup, 4096)
        if self.connection.fileno() in readable:
            data = self.connection.recv(1 << 16)
            if not data:
                self.leave()
            *lines, self.unread = (self.unread + data).split(b"\n")
            for line in lines:
                self.handle(json.loads(line))
        self.reap()
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            self.handle(request)

    def handle(self, message: dict[str, Any]) -> None:
        if "signal" in message:
            self.signal(message["id"], message["signal"])
        elif not self.accepts(message["module"]):
            log.error("refused %s: only programs below %s are started", message["module"], sorted(self.packages))
            self.tell({"id": message["id"], "exit": 127})
        elif self.steps and message["module"] not in self.ready and message["module"] in self.known:
            self.waiting.append(message)
        else:
            self.start(message)

    def accepts(self, module: str) -> bool:
        return any(re.fullmatch(rf"{re.escape(package)}(\.[A-Za-z_]\w*)+", module) for package in self.packages)

    def signal(self, id_: str, number: int) -> None:
        for request in [r for r in self.waiting if r["id"] == id_]:
            self.waiting.remove(request)
            self.tell({"id": id_, "exit": 128 + number})
        for pid in [pid for pid, running in self.running.items() if running == id_]:
            # A container runtime signals the first process only; the end comes to all.
            (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)

    def start(self, request: Mapping[str, Any]) -> None:
        server = os.getpid()
        # The new session is made before anybody may signal its group, so SIGTERM waits until the child is ready for it.
        begun, begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.close(begun)
            os.close(begin)
            be_program(request, server, self)
        os.close(begin)
        os.read(begun, 1)  # returns when the child has closed its end
        os.close(begun)
        self.running[pid] = request["id"]
        self.tell({"id": request["id"], "pid": pid})

    def reap(self) -> None:
        while self.running:
            # The zombie holds the group's number until the last of the group is gone.
            gone = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if gone is None:
                return
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(gone.si_pid, signal.SIGKILL)
            _, status = os.waitpid(gone.si_pid, 0)
            code = os.waitstatus_to_exitcode(status)
            id_ = self.running.pop(gone.si_pid, None)
            if id_ is not None:
                self.tell({"id": id_, "exit": code if code >= 0 else 128 - code})

    def tell(self, message: Mapping[str, Any]) -> None:
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.leave()

    def leave(self) -> NoReturn:
        """The adapter is gone: nothing that it started may go on writing."""
        for pid in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        os._exit(0)


def be_program(request: Mapping[str, Any], server: int, owned: Server) -> NoReturn:
    """Turn a fresh fork into what `python -m <module>` would be, and end the process with its exit code."""
    code = 1
    try:
        die_with_parent(server)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        owned.connection.close()
        os.close(owned.wakeup)
        os.close(owned.wakeup_writer)
        os.environ.clear()
        os.environ.update(request["env"])
        tempfile.tempdir = None  # or else it is the one that the server's own TMPDIR named
        output = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.chdir(request["cwd"])
        set_threads(request["threads"])
        random.seed()
        for handler in logging.root.handlers[:]:
            logging.root.removeHandler(handler)
        module = request["module"]
        sys.argv = [module, *request["args"]]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = exit_code(error)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            threading._shutdown()  # type: ignore[attr-defined]  # what the interpreter does at its end
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201  what the interpreter does with a text
    return 1


def set_threads(threads: int) -> None:
    """OMP_NUM_THREADS was read when the libraries were loaded, so what is loaded is told again."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def main(arguments: Sequence[str], *, packages: Collection[str] = ("evolution_jobs",), steps: Sequence[Step] = STEPS) -> None:
    """Serve the connection at file descriptor `arguments[0]` for the process `arguments[1]`; tests name packages of their own."""
    descriptor, parent = map(int, arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the adapter's to interpret
    die_with_parent(parent)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    Server(socket.socket(fileno=descriptor), packages=packages, steps=steps).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
