"""One phase of the check as a process of its own: measures, and keeps what it found in a file even if it is cut off.

    python -m bench.gpu.phase NAME --report FILE [--cpu]

Started by `check`, which reads the file. A phase is a module beside this one with `measure(scale, report)`.
"""

import argparse
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


class Report:
    """What a phase found so far; written anew with every fact, so that a cut loses nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: dict[str, Any] = {}
        self.faults: list[str] = []
        """What is wrong with the project, a sentence each: any makes the phase a failed one."""
        self.when_cut_off: Callable[[], None] = lambda: None
        """Called when the time is over, before the process ends."""
        self.lock = threading.Lock()

    def note(self, **facts: Any) -> None:
        with self.lock:
            self.facts |= facts
            self._write()

    def fault(self, sentence: str) -> None:
        with self.lock:
            self.faults.append(sentence)
            self._write()

    def _write(self) -> None:
        draft = self.path.with_suffix(".writing")
        draft.write_text(json.dumps({"faults": self.faults, "facts": self.facts}))
        draft.replace(self.path)


def said(error: BaseException) -> str:
    """An error in one line, with what to do where that is known."""
    line = f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{line}; it is not among what `make gpu-carry` brought: name its package in bench/gpu/packages.txt and carry again"
        )
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    report = Report(options.report)

    def cut_off(_signal: int, _frame: object) -> NoReturn:
        report.when_cut_off()
        os._exit(1)

    signal.signal(signal.SIGTERM, cut_off)
    try:
        phase = importlib.import_module(f"bench.gpu.{options.name}")

        from bench.gpu.scale import FULL, SMALL

        phase.measure(SMALL if options.cpu else FULL, report)
    except Exception as error:  # whatever it is, the next phase runs, and this one has said why
        traceback.print_exc()
        report.fault(said(error))
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
