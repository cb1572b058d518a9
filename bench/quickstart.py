"""Time and memory of a newcomer's first command: clone, `make quickstart`, install included.

    python bench/quickstart.py [--keep]

Clones this repository's HEAD into a new folder, runs `make quickstart` there, and samples the proportional memory (PSS) of every
process below it twice a second.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
SAMPLE_S = 0.5
GOAL_S, GOAL_BYTES = 300, 6 * 2**30


def pss_bytes(root: psutil.Process) -> int:
    """Memory of a process and all below it, shared pages counted once in total."""
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it ended between the listing and the reading
            continue
    return total


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="evolution-quickstart-"))
    clone = folder / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    started, peak = time.monotonic(), 0
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["make", "quickstart"], cwd=clone, stdout=log, stderr=log)
        tree = psutil.Process(process.pid)
        while process.poll() is None:
            peak = max(peak, pss_bytes(tree))
            time.sleep(SAMPLE_S)
    seconds = time.monotonic() - started
    print(f"make quickstart: exit {process.returncode}, log {folder / 'log'}")
    print(f"{'time':>12} {seconds:8.0f} s   {seconds / GOAL_S:5.2f} of the goal of {GOAL_S} s")
    print(f"{'peak memory':>12} {peak / 2**30:8.2f} GiB {peak / GOAL_BYTES:5.2f} of the goal of {GOAL_BYTES / 2**30:.0f} GiB")
    if "--keep" not in sys.argv:
        subprocess.run(["rm", "-rf", str(clone)], check=True)
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
