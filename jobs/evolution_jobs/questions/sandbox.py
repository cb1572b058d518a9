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
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pydantic_monty

from evolution_api.kinds import Reason
from evolution_api.run import Sandbox as Limits
from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import AmbiguousError, Geometry, GeometryError, MetadataError, MissingError, geometry

MAX_SUSPENSIONS = 2000
"""Calls into the geometry library and first uses of its names that one program may make (about 15 microseconds each)."""
GRACE_S = 0.25
"""Beyond its time limit a worker that does not stop by itself (one huge power, say) is killed after this wait."""
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


class _Calls:
    """The geometry functions as one program sees them: bounded in wall time, and remembered where they failed."""

    def __init__(self, library: Geometry) -> None:
        self.library = library
        self.lookup = {name: self._guarded(function) for name, function in library.functions.items()}
        self.deadline = math.inf
        self.failure: GeometryError | None = None
        self.interruption: BaseException | None = None

    def _guarded(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if time.monotonic() > self.deadline:
                raise TimeoutError(OUT_OF_TIME)
            try:
                return function(*args, **kwargs)
            except GeometryError as error:
                self.failure = error
                raise LookupError(str(error)) from None
            except Exception:
                raise
            except BaseException as signal:  # SIGTERM or Ctrl-C: the sandbox would take it for the program's own error
                self.interruption = signal
                raise RuntimeError("interrupted") from None

        return call


OUT_OF_TIME = "time limit exceeded in calls of the geometry library"

_pool: tuple[int, pydantic_monty.Monty] | None = None


def _workers() -> pydantic_monty.Monty:
    """The process's own pool of one worker; a forked child makes its own."""
    global _pool
    if _pool is None or _pool[0] != os.getpid():
        pool = pydantic_monty.Monty(max_processes=1, feed_duration_limit_grace=GRACE_S)
        pool.__enter__()
        _pool = (os.getpid(), pool)
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
        self._calls: _Calls | None = None

    def run(self, program: str, scene: Scene) -> Outcome:
        """The value of the program's last expression over this scene."""
        library = geometry(scene)
        calls = self._calls
        if calls is None or calls.library is not library:
            calls = self._calls = _Calls(library)
        calls.failure = calls.interruption = None
        # Monty's own clock stands still while the host works, so the calls are bounded by a second clock.
        calls.deadline = time.monotonic() + 2 * self._time_s
        try:
            with _workers().checkout(limits=self._limits, os_policy=_POLICY) as session:
                value = session.feed_run(program, external_lookup=calls.lookup, print_callback=_discard)
        except Exception as error:  # the program's failure is a result
            if calls.interruption is not None:
                raise calls.interruption from None
            return _failure(error, calls.failure)
        if calls.interruption is not None:
            raise calls.interruption
        return _plain(value)


def _discard(_stream: str, _text: str) -> None:
    """What a program prints goes nowhere."""


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


def _failure(error: Exception, geometry_failure: GeometryError | None) -> Outcome:
    inner = error.exception() if isinstance(error, pydantic_monty.MontyError) else error
    message = str(error)
    if geometry_failure is not None and message.endswith(str(geometry_failure)):
        return Outcome(None, GEOMETRY_REASONS[type(geometry_failure)], str(geometry_failure)[:MAX_DETAIL_CHARACTERS])
    return Outcome(None, _reason(error, inner, message), " ".join(message[:MAX_DETAIL_CHARACTERS].split()))


def _reason(error: Exception, inner: BaseException, message: str) -> Reason:
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
