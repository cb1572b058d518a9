"""Runs a command on a machine that keeps standing still: finds tests that count on what is only usually fast.

    python -m tests.testbed.tools.halts COMMAND...

Every two seconds or so one process that the command started, or all of them with the command itself, are halted for 0.3 to
2.5 seconds, as a busy virtual machine may be. What fails then is a race, in a test or in what it tests.
"""

import random
import subprocess
import sys
import time
from contextlib import suppress

import psutil

LASTS_S = (0.3, 0.6, 1.2, 2.5)
"""How long it stands still; each as often."""
BETWEEN_S = (0.5, 2.5)
ALL = 0.4
"""How often it is all of them."""


def halt(processes: list[psutil.Process], seconds: float) -> None:
    try:
        for process in processes:
            with suppress(psutil.Error):
                process.suspend()
        time.sleep(seconds)
    finally:
        for process in processes:
            with suppress(psutil.Error):
                process.resume()


def main() -> int:
    with subprocess.Popen(sys.argv[1:]) as command:
        whole = psutil.Process(command.pid)
        while command.poll() is None:
            time.sleep(random.uniform(*BETWEEN_S))
            with suppress(psutil.NoSuchProcess):
                there = [whole, *whole.children(recursive=True)]
                halt(there if random.random() < ALL else [random.choice(there)], random.choice(LASTS_S))
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
