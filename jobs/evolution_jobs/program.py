"""What every program that runs in a pod shares: its input, its log lines, its last words and its exit code.

The last words go to the container's termination message, where the planner reads them.
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

from evolution_api.endings import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, EXIT_TERMINATED, LastWords
from evolution_api.jobs import StageInput, shard_from_environment
from evolution_api.layout import ENV_TERMINATION_LOG, manifest_key
from evolution_api.stages import BY_NAME
from evolution_api.summaries import AnySummary
from evolution_storage.manifests import committed
from evolution_storage.store import CorruptError, Store
from evolution_storage.uri import run_store

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


def write_last_words(words: LastWords) -> None:
    path = Path(os.environ.get(ENV_TERMINATION_LOG, "/dev/termination-log"))
    try:
        write_in_place(path, words.to_json())
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


def once(
    work: Callable[[StageInput, Store, int | None], AnySummary], *, afterwards: Callable[[Store, StageInput], None] | None = None
) -> Callable[[StageInput], AnySummary]:
    """A stage's program: `work` commits its part of the stage. What is committed already is not done again, only said again.

    `work` is given the run's store and the shard, None where the stage is not split. `afterwards` is what is to do once the
    stage is committed, and again where that was cut short.
    """

    def program(job: StageInput) -> AnySummary:
        store = run_store(job)
        shard = None if BY_NAME[job.stage].shards is None else shard_from_environment(os.environ)
        key = manifest_key(job.round, job.stage, shard)
        done = committed(store, job.uid, key)
        if done is not None:
            log.info("%s is committed; nothing to do", key)
        summary = work(job, store, shard) if done is None else done.summary
        if afterwards is not None:
            afterwards(store, job)
        return summary

    return program


def run(main: Callable[[StageInput], AnySummary | None]) -> NoReturn:
    """Run a program from its environment and exit: 0 done, 1 failed, 2 bad input, 143 terminated."""
    sys.unraisablehook = _unraisable
    leave(carry_out(main))


def carry_out(main: Callable[[StageInput], AnySummary | None]) -> int:
    """Run a program from its environment, leave its last words, and return its exit code."""
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
        write_last_words(LastWords(error=str(error), retryable=False))
        return EXIT_BAD_INPUT
    except TerminatedError:
        return _say_terminated()
    except Exception as error:  # the process ends here; the planner decides what follows
        log.error("%s", error, exc_info=True)
        last = traceback.extract_tb(error.__traceback__)[-1]
        write_last_words(LastWords(error=f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"))
        return EXIT_FAILED
    log.info("done in %.1f s", time.monotonic() - started)
    write_last_words(LastWords(summary=summary))
    return EXIT_DONE


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
    write_last_words(LastWords(error="terminated by SIGTERM"))
    return EXIT_TERMINATED


def _unraisable(lost: "sys.UnraisableHookArgs") -> None:
    """SIGTERM may arrive in a callback whose exceptions Python drops: an import runs one for every module."""
    if isinstance(lost.exc_value, TerminatedError):
        leave(_say_terminated())
    sys.__unraisablehook__(lost)
