"""Runs a question's program over a scene. Programs are written by a model, so they are taken as hostile.

They run in Monty (pydantic-monty): an interpreter of its own in a worker process, with no files, network, environment
or host objects; all they can call are the functions of `geometry.py`. Every program gets a fresh session with a
frozen clock and a fixed random seed, so nothing of one reaches the next and the same program over the same scene
always returns the same. A worker that a program brings down is replaced. Whatever happens is an `Outcome`; only
signals of our own process pass through.

Not covered: the total over many programs (the caller counts them) and the truth of what is returned (`check.py`).
"""

import math
import os
import re
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pydantic_monty

from evolution_api.kinds import Reason
from evolution_api.run.generation import Sandbox as Limits
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import AmbiguousError, Geometry, GeometryError, MetadataError, MissingError, geometry

MAX_SUSPENSIONS = 2000
"""Calls into the geometry library and first uses of its names that one program may make (about 15 microseconds each)."""
GRACE_S = 0.25
"""Beyond its time limit a worker that does not stop by itself (one huge power, say) is killed after this wait."""
RUNS_WHEN_STARVED = 8
"""Monty's is a wall clock, which on a busy or halted machine also runs while others work. A program out of time that had the
processor for less than a quarter of it is run again, 8 runs at most, lest the same scene and seed give other questions."""
MAX_PRINTED_BYTES = 1 << 20
"""What is printed is thrown away; more of it ends the program (program_memory)."""
MAX_ANSWER_CHARACTERS = 2000
MAX_ANSWER_INTEGER = 10**15
MAX_DETAIL_CHARACTERS = 300

_POLICY: pydantic_monty.OSPolicy = {
    "datetime": datetime(2000, 1, 1),
    "sleep": "zero",
    "random_start": {"seed": 0},
}
GEOMETRY_REASONS: dict[type[GeometryError], Reason] = {
    MissingError: "missing_object",
    AmbiguousError: "ambiguous_object",
    MetadataError: "missing_metadata",
}
_FORBIDDEN_NAMES = re.compile(
    r"name '(__\w+|input|globals|locals|vars|compile|exit|quit|breakpoint|help|memoryview)' is not defined"
)
_FORBIDDEN_ATTRIBUTES = re.compile(
    r"has no attribute '__|module '(os|sys|pathlib|asyncio|io)' has no|not supported in this environment"
)


@dataclass(frozen=True)
class Outcome:
    """What a program came to: a value (bool, int, float or str) or the reason why there is none."""

    value: object | None
    reason: Reason | None
    detail: str
    """One sentence; empty where there is a value."""


OUT_OF_TIME = "time limit exceeded in calls of the geometry library"

_pool: tuple[int, pydantic_monty.Monty] | None = None
"""The pool and the process that it belongs to."""


def _workers() -> pydantic_monty.Monty:
    """The process's own pool of one worker. Its threads do not outlive a fork, so a child must not have inherited a used one."""
    global _pool
    if _pool is None:
        pool = pydantic_monty.Monty(max_processes=1, feed_duration_limit_grace=GRACE_S)
        pool.__enter__()
        _pool = (os.getpid(), pool)
    elif _pool[0] != os.getpid():
        raise RuntimeError(
            f"the sandbox was used in process {_pool[0]} before it forked {os.getpid()}, where it would hang; "
            "fork first, or run programs in only one of the two"
        )
    return _pool[1]


class Sandbox:
    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self._time_s = limits.timeout_milliseconds / 1000
        self._limits: pydantic_monty.ResourceLimits = {
            "max_feed_duration_secs": self._time_s,
            "max_memory": limits.memory_mebibytes << 20,
            "max_recursion_depth": limits.max_recursion,
            "max_suspensions": MAX_SUSPENSIONS,
        }

    def run(self, program: str, scene: Scene) -> Outcome:
        """The value of the program's last expression over this scene."""
        for _ in range(RUNS_WHEN_STARVED):
            turn = _Turn(geometry(scene), self._time_s)
            outcome = self._run(program, turn)
            if outcome.reason != "program_timeout" or not turn.starved:
                break
        return outcome

    def _run(self, program: str, turn: "_Turn") -> Outcome:
        try:
            with _workers().checkout(limits=self._limits, os_policy=_POLICY) as session:
                value = turn.play(session, program)
        except pydantic_monty.MontyError as error:
            return _failure(error, turn.failure)
        return _plain(value)


def _processor_s(worker: int) -> float:
    """Processor time of this thread, this worker and all that ended: a worker that was killed meanwhile is one of those."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        lived_s = time.clock_gettime(~worker << 3 | 2)  # Linux's number of a process's clock: clock_getcpuclockid(3)
    except OSError:
        lived_s = 0.0
    return time.thread_time() + lived_s + ended.ru_utime + ended.ru_stime


class _Turn:
    """One program from its start to its value.

    Its calls come back to us one by one instead of out of the interpreter's hands, so that a signal (SIGTERM, Ctrl-C) that
    arrives in one of them is ours and never the program's to catch.
    """

    def __init__(self, library: Geometry, time_s: float) -> None:
        self.library = library
        self.time_left_s = time_s
        """Processor time for the geometry library: Monty's own clock stands still while that works."""
        self.starved = False
        """Whether the program had the processor, in its worker and here, for less than a quarter of the time that it took."""
        self.failure: GeometryError | None = None
        """The last question that the geometry library could not answer."""

    def play(self, session: pydantic_monty.MontySession, program: str) -> object:
        worker = session.worker_pid
        assert worker is not None  # it is one of our own, and idle
        began_s, worked_s = time.perf_counter(), _processor_s(worker)
        try:
            return self._play(session, program)
        finally:
            self.starved = _processor_s(worker) - worked_s < (time.perf_counter() - began_s) / 4

    def _play(self, session: pydantic_monty.MontySession, program: str) -> object:
        functions = self.library.functions
        printed = pydantic_monty.CollectString(MAX_PRINTED_BYTES)  # read by nobody; no Python of ours runs while it fills
        state = session.feed_start(program, external_lookup=dict(functions), print_callback=printed)
        while not isinstance(state, pydantic_monty.MontyComplete):
            if isinstance(state, pydantic_monty.FunctionSnapshot) and state.function_name in functions:
                state = state.resume(self._call(functions[state.function_name], state))
            else:
                state = state.resume_auto()  # a name, an import, a file: bound, or refused by the interpreter
        return state.output

    def _call(
        self, function: Callable[..., object], call: pydantic_monty.FunctionSnapshot
    ) -> pydantic_monty.ExternalSettledResult:
        if self.time_left_s < 0:
            return {"exc_type": "TimeoutError", "message": OUT_OF_TIME}
        began_s = time.thread_time()
        try:
            return {"return_value": function(*call.args, **call.kwargs)}
        except GeometryError as error:
            self.failure = error
            return {"exc_type": "LookupError", "message": str(error)}
        except TypeError as error:
            return {"exc_type": "TypeError", "message": str(error)}
        finally:
            self.time_left_s -= time.thread_time() - began_s


def _plain(value: Any) -> Outcome:
    """Only plain scalars leave the sandbox. A foreign container is not even printed: shared parts make that exponential."""
    kind = type(value)
    if kind is bool:
        return Outcome(value, None, "")
    if kind is int and abs(value) <= MAX_ANSWER_INTEGER:
        return Outcome(value, None, "")
    if kind is float and math.isfinite(value):
        return Outcome(value, None, "")
    if kind is str and len(value) <= MAX_ANSWER_CHARACTERS:
        return Outcome(value, None, "")
    if kind is float:
        return Outcome(None, "wrong_type", f"the program returned {value}, which is no answer")
    if kind in (int, str):
        return Outcome(None, "wrong_type", f"the program returned a value of type {kind.__name__} beyond all bounds")
    if value is None:
        return Outcome(None, "wrong_type", "the program returned nothing; its last line must be the answer as an expression")
    return Outcome(None, "wrong_type", f"the program returned a value of type {kind.__name__}, not a bool, int, float or str")


def _failure(error: pydantic_monty.MontyError, geometry_failure: GeometryError | None) -> Outcome:
    inner = error.exception()
    message = str(error)
    if geometry_failure is not None and message.endswith(str(geometry_failure)):
        return Outcome(None, GEOMETRY_REASONS[type(geometry_failure)], str(geometry_failure)[:MAX_DETAIL_CHARACTERS])
    return Outcome(None, _reason(error, inner, message), " ".join(message[:MAX_DETAIL_CHARACTERS].split()))


def _reason(error: pydantic_monty.MontyError, inner: BaseException, message: str) -> Reason:
    if isinstance(error, pydantic_monty.MontyCrashedError):
        return "program_timeout" if error.timed_out else "program_memory"
    if (
        isinstance(error, pydantic_monty.MontySyntaxError)
        or "syntax parser does not yet support" in message[:MAX_DETAIL_CHARACTERS]
    ):
        return "program_syntax"
    if isinstance(inner, TimeoutError) and "time limit exceeded" in message[:MAX_DETAIL_CHARACTERS]:
        return "program_timeout"
    if isinstance(inner, RuntimeError) and message.startswith("RuntimeError: suspension limit"):
        return "program_timeout"
    if isinstance(inner, MemoryError):
        return "program_memory"
    if isinstance(inner, RecursionError):
        return "program_recursion"
    head = message[:MAX_DETAIL_CHARACTERS]
    asks_outside = isinstance(inner, ImportError | OSError) and not isinstance(inner, TimeoutError)
    if asks_outside or _FORBIDDEN_NAMES.search(head) or _FORBIDDEN_ATTRIBUTES.search(head):
        return "program_forbidden"
    return "program_error"
