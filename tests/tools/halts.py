"""Runs a command on a machine that keeps standing still: finds tests that count on what is only usually fast.

    python -m tests.tools.halts [--seed N] COMMAND...

Every two seconds or so one process that the command started, or all of them with the command itself, are halted for 0.3 to
2.5 seconds, as a busy virtual machine may be. What fails then is a race, in a test or in what it tests.
"""

import argparse
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of when, for how long and which of them, by their number")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    with subprocess.Popen(arguments.command) as command:
        whole = psutil.Process(command.pid)
        while command.poll() is None:
            time.sleep(chance.uniform(*BETWEEN_S))
            with suppress(psutil.NoSuchProcess):
                there = [whole, *whole.children(recursive=True)]
                halt(there if chance.random() < ALL else [chance.choice(there)], chance.choice(LASTS_S))
    return command.returncode


if __name__ == "__main__":
    sys.exit(main())
