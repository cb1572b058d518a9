"""What every program that runs in a pod shares: its input, its log lines, its last words and its exit code.

The last words (a StageSummary) go to the container's termination message, where the planner reads them.
"""

import atexit
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_TERMINATION_LOG
from evolution_api.results import StageSummary
from evolution_storage.store import CorruptError

TERMINATION_MESSAGE_BYTES = 4096
"""Kubernetes cuts a container's termination message here."""
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
"""Doing the same again must fail again."""
EXIT_TERMINATED = 143
"""128 + SIGTERM, as a shell reports it."""

log = logging.getLogger("evolution")


class BadInputError(ValueError):
    """What the user gave cannot work and will not work the next time; the message says field, value, why and what to do."""


class TerminatedError(BaseException):
    """SIGTERM arrived: save what is owed and leave. No Exception, so that nothing swallows it."""


class _JsonLines(logging.Formatter):
    def __init__(self, context: dict[str, object]) -> None:
        super().__init__()
        self.context = context

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            **self.context,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def progress(done: int, total: int, unit: str, **fields: object) -> None:
    """Tell whoever follows the log how far the program is: `done` of `total` `unit`s (scenes, steps, questions)."""
    log.info("%d/%d %s", done, total, unit, extra={"fields": {"done": done, "total": total, "unit": unit, **fields}})


def write_last_words(summary: StageSummary) -> None:
    text = summary.model_dump_json(exclude_defaults=True)
    if len(text.encode()) > TERMINATION_MESSAGE_BYTES:
        error = (summary.error or "the summary was too long").encode()[: TERMINATION_MESSAGE_BYTES // 4].decode(errors="ignore")
        text = summary.model_copy(update={"error": error, "counts": {}, "measures": {}}).model_dump_json(exclude_defaults=True)
    path = Path(os.environ.get(ENV_TERMINATION_LOG, "/dev/termination-log"))
    try:
        write_in_place(path, text)
    except OSError as error:  # started by hand, outside any container: the log has to do
        log.warning("no termination message written to %s: %s", path, error)


def write_in_place(path: Path, text: str) -> None:
    """Write the whole of a file over what it held: room that it had before is enough, however full its disk has become."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(text.encode())
        file.truncate()


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise TerminatedError


def start_logging(**context: object) -> None:
    """JSON lines on stdout, each with `context`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines(context))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells for each client where it found its credentials


def run(main: Callable[[StageInput], StageSummary]) -> NoReturn:
    """Run a stage program from its environment and exit: 0 done, 1 failed, 2 bad input, 143 terminated."""
    sys.unraisablehook = _unraisable
    leave(carry_out(main))


def carry_out(main: Callable[[StageInput], StageSummary]) -> int:
    """Run a stage program from its environment, leave its last words, and return its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    start_logging()
    started = time.monotonic()
    try:
        try:
            job = StageInput.from_environment(os.environ)
        except ValueError as error:
            raise BadInputError(str(error)) from error
        start_logging(run=job.run, round=job.round, stage=job.stage, attempt=job.attempt)
        summary = main(job)
    except (BadInputError, CorruptError) as error:  # what lies in storage does not mend itself either
        log.error("%s", error)
        write_last_words(StageSummary(error=str(error), retryable=False))
        return EXIT_BAD_INPUT
    except TerminatedError:
        return _say_terminated()
    except Exception as error:  # the process ends here; the planner decides what follows
        log.error("%s", error, exc_info=True)
        last = traceback.extract_tb(error.__traceback__)[-1]
        write_last_words(StageSummary(error=f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"))
        return EXIT_FAILED
    log.info("done in %.1f s", time.monotonic() - started)
    write_last_words(summary)
    return 0


def leave(code: int) -> NoReturn:
    """End this process without taking it apart: freeing what torch and its kin hold takes seconds of a busy machine."""
    sys.unraisablehook = sys.__unraisablehook__  # from here on SIGTERM changes nothing of how it ended
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _say_terminated() -> int:
    log.warning("terminated by SIGTERM")
    write_last_words(StageSummary(error="terminated by SIGTERM"))
    return EXIT_TERMINATED


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """SIGTERM may arrive in a callback whose exceptions Python drops: an import runs one for every module."""
    if isinstance(lost.exc_value, TerminatedError):
        leave(_say_terminated())
    sys.__unraisablehook__(lost)
