"""The check for a lent GPU: every phase in turn, each a process with a time limit, a JSON line for each.

    make gpu-check                 on a machine with a GPU: what `make gpu-carry` made, unpacked and used where no .venv is
    make gpu-check CPU=1           the same phases at small shapes on this machine's CPUs
    make gpu-check PHASES=0,1      those alone
    make gpu-check BUDGET_S=300    whatever the limits say, all over after so many seconds

Needs nothing but the standard library: it also has to speak where the packages are missing. The lines come to
<date>-<card>.jsonl in $OUT, or in .gpu/results, the phases' logs beside it. Exit status: how many phases failed.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
CARRIED = ROOT / ".gpu"
"""What `carry` made: rooms, and the packages that the other machine lacks. Git ignores it."""
PACKAGES = CARRIED / "packages.tar.xz"
CARRIED_PYTHON = (3, 12)
"""What the carried packages are built for: the Python of the machines that are lent."""
SETTING_UP_S = 20.0
"""What unpacking the carried packages may take."""
LAST_WORDS_S = 2.0
"""What a phase that is cut off has to write its logs' ends."""
CPU_PATIENCE = 10
"""On CPUs nobody pays for the minutes, and a busy machine is no fault."""


@dataclass(frozen=True)
class Phase:
    name: str
    limit_s: float


PHASES = (
    Phase("versions", 25),
    Phase("programs", 105),
    Phase("attention", 60),
    Phase("trainer", 190),
    Phase("confidences", 70),
    Phase("serving", 70),
)


class Session:
    """Every process that a phase starts is in the phase's session, unless it makes one of its own, which none does."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
            )

    def end(self, limit_s: float) -> int | None:
        """Its exit code, or None where it ran out of time and was killed with all that it had started."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(LAST_WORDS_S)
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def limit_of(phase: Phase, later: Sequence[Phase], left_s: float) -> float:
    """Seconds that a phase may take: what earlier ones left over is its own, but what later ones need is theirs."""
    spare_s = left_s - phase.limit_s - sum(other.limit_s for other in later)
    return max(0.0, min(left_s, phase.limit_s + max(0.0, spare_s)) - LAST_WORDS_S)


def line_of(number: int, phase: Phase, report: Path, code: int | None, seconds: float, limit_s: float) -> dict[str, Any]:
    """What is known of a phase that ended in one way or another."""
    try:
        found = json.loads(report.read_text())
    except (OSError, ValueError):
        found = {"faults": [], "facts": {}}
    faults = list(found["faults"])
    if code is None:
        faults.append(f"cut off after {limit_s:.0f} s; what it had found by then stands here")
    elif code and not faults:
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        faults.append(f"ended by {how} without a word; see its log")
    status = "timeout" if code is None else "failed" if faults else "ok"
    return {
        "phase": number,
        "name": phase.name,
        "status": status,
        "seconds": round(seconds, 1),
        "faults": faults,
        **found["facts"],
    }


def environment_of(site: Path | None) -> dict[str, str]:
    """Compiled modules are kept, for the next phase: to compile torch's and its kin's takes as long as to load them."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    paths = [*([site] if site else []), ROOT, *(ROOT / part for part in ("crds", "jobs", "operator"))]
    paths += [Path(path) for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PATH": os.pathsep.join([*([str(site / "bin")] if site else []), kept.get("PATH", os.defpath)]),
        "TOKENIZERS_PARALLELISM": "false",
        "GLOO_SOCKET_IFNAME": "lo",  # else it asks for the host's name, of name servers that are not there
        "NCCL_SOCKET_IFNAME": "lo",
    }


def unpacked(work: Path) -> Path | None:
    """The carried packages in a folder of this check's own; None where this Python has a set-up of its own."""
    if Path(sys.prefix) == ROOT / ".venv":
        return None
    if sys.version_info[:2] != CARRIED_PYTHON:
        wanted, found = (".".join(map(str, version)) for version in (CARRIED_PYTHON, sys.version_info[:2]))
        sys.exit(f"gpu-check: the carried packages are for Python {wanted}, this is {found}; use that one, or `make setup` here")
    try:
        with tarfile.open(PACKAGES) as archive:
            archive.extractall(work / "site", filter="data")
    except FileNotFoundError:
        sys.exit(f"gpu-check: {PACKAGES} is missing; `make gpu-carry` makes it where the package index can be reached")
    return work / "site"


def card_of(environment: Mapping[str, str]) -> str | None:
    """The GPU's name, fit for a file's; None where PyTorch sees none, or there is no PyTorch."""
    ask = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    command = [sys.executable, "-W", "ignore", "-c", ask]
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    return said.replace(" ", "-") or None


def chosen(text: str) -> list[int]:
    numbers = [int(number) for number in text.split(",")]
    if not set(numbers) <= set(range(len(PHASES))):
        raise argparse.ArgumentTypeError(f"{text!r}: phases are 0 to {len(PHASES) - 1}, with commas between them")
    return numbers


def main() -> None:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--phases", type=chosen, default=list(range(len(PHASES))))
    parser.add_argument("--budget-s", type=float, help="all over after so many seconds; by default the sum of the limits")
    options = parser.parse_args()
    budget_s = options.budget_s or SETTING_UP_S + sum(PHASES[number].limit_s for number in options.phases)
    results = Path(os.environ.get("OUT") or CARRIED / "results")
    results.mkdir(parents=True, exist_ok=True)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="evolution-gpu-") as folder:
        work = Path(folder)
        environment = environment_of(unpacked(work))
        card = "cpu" if options.cpu else card_of(environment)
        if card is None:
            print("gpu-check: PyTorch sees no GPU here; CPU=1 runs the same phases at small shapes", file=sys.stderr)
            sys.exit(len(options.phases))
        kept = results / f"{date.today().isoformat()}-{card}.jsonl"
        kept.unlink(missing_ok=True)
        for number in options.phases:
            phase = PHASES[number]
            report, began = work / f"{phase.name}.json", time.monotonic()
            later = [PHASES[other] for other in options.phases[options.phases.index(number) + 1 :]]
            patience = CPU_PATIENCE if options.cpu else 1
            limit_s = patience * limit_of(phase, later, budget_s - (began - started) / patience)
            command = [sys.executable, "-m", "bench.gpu.phase", phase.name, "--report", str(report)]
            session = Session([*command, *(["--cpu"] if options.cpu else [])], environment, results / f"{phase.name}.log")
            code = session.end(limit_s)
            line = line_of(number, phase, report, code, time.monotonic() - began, limit_s)
            failed += line["status"] != "ok"
            print(text := json.dumps(line), flush=True)
            with kept.open("a") as lines:
                lines.write(f"{text}\n")
    print(
        f"gpu-check: {len(options.phases) - failed} of {len(options.phases)} phases are right, {failed} failed; "
        f"{time.monotonic() - started:.0f} s; {kept}",
        file=sys.stderr,
    )
    sys.exit(failed)


if __name__ == "__main__":
    main()
