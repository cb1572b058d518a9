"""What the check needs and a lent machine lacks: rooms, which are drawn here, and packages of the lock for that machine's Python.

    make gpu-carry             all of it, into .gpu: with the tree itself at most 60 MiB
    python -m bench.gpu.carry --cpu        only the small rooms, for `make gpu-check CPU=1`

PyTorch and what comes with it stay at home: the lent machine has its own.
"""

import argparse
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import PIL.Image
from bench.gpu.check import CARRIED, CARRIED_PYTHON, PACKAGES, ROOT
from bench.gpu.scale import FULL, SMALL

from evolution_api.run.scenes import Procedural
from evolution_jobs.scenes.prepare import prepare_procedural

LIMIT_BYTES = 60 * 2**20
PLATFORM = "x86_64-manylinux_2_28"
SMALL_ROOMS = Procedural(rooms=10, objects_max=6)
LARGE_ROOMS = Procedural(rooms=6, objects_min=8, objects_max=12, width=640, height=480)
NAMES = Path(__file__).with_name("packages.txt")
"""Packages of the lock that the lent machine lacks, or has too old. It has PyTorch, Pillow, httpx, pyarrow and the like."""


def draw(folder: Path, rooms: Procedural, frames: int) -> None:
    prepare_procedural(folder.as_uri(), rooms, 0, frames)
    for path in folder.glob("*/frames/*.png"):
        smaller = io.BytesIO()
        PIL.Image.open(path).save(smaller, "PNG", optimize=True)
        if smaller.tell() < path.stat().st_size:
            path.write_bytes(smaller.getvalue())


def locked(names: set[str], lock: str) -> str:
    """The lock's entries of these packages, hashes included. Raises ValueError naming those that it does not have."""
    entries = {entry.split("==")[0].strip(): entry for entry in re.split(r"\n(?=\S)", lock)}
    if missing := sorted(names - entries.keys()):
        raise ValueError(f"bench/gpu/packages.txt names {', '.join(missing)}, which requirements.lock does not have")
    return "\n".join(entries[name] for name in sorted(names)) + "\n"


def pack_packages() -> None:
    wanted = locked(set(NAMES.read_text().split()), (ROOT / "requirements.lock").read_text())
    stamp, digest = PACKAGES.with_suffix(".sha256"), hashlib.sha256(wanted.encode()).hexdigest()
    if PACKAGES.exists() and stamp.exists() and stamp.read_text() == digest:
        return
    uv = shutil.which("uv") or str(ROOT / ".cache" / "uv" / "bin" / "uv")
    with tempfile.TemporaryDirectory(prefix="evolution-carry-") as folder:
        listed, site = Path(folder) / "packages.txt", Path(folder) / "site"
        listed.write_text(wanted)
        command = [uv, "pip", "install", "-q", "--target", str(site), "--no-deps", "--require-hashes", "-r", str(listed)]
        command += ["--python-version", ".".join(map(str, CARRIED_PYTHON)), "--python-platform", PLATFORM]
        # DeepSpeed comes as source; without its operators it is Python alone
        subprocess.run(command, check=True, env={**os.environ, "DS_BUILD_OPS": "0"})
        draft = PACKAGES.with_suffix(".writing")
        with tarfile.open(draft, "w:xz") as archive:
            archive.add(site, ".", filter=lambda entry: None if "__pycache__" in entry.name else entry)
        draft.replace(PACKAGES)
    stamp.write_text(digest)


def size_bytes() -> int:
    """Of the tree as git knows it, what is new in it included, and of what is carried."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout.split("\0")
    files = {ROOT / name for name in listed if name} | {path for path in CARRIED.rglob("*") if path.is_file()}
    return sum(path.stat().st_size for path in files if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    draw(CARRIED / SMALL.rooms, SMALL_ROOMS, SMALL.frames)
    if options.cpu:
        return
    draw(CARRIED / FULL.rooms, LARGE_ROOMS, FULL.frames)
    pack_packages()
    size = size_bytes()
    print(f"gpu-carry: tree and {CARRIED.name} together {size / 2**20:.1f} MiB of {LIMIT_BYTES / 2**20:.0f}")
    if size > LIMIT_BYTES:
        sys.exit("gpu-carry: that is too much; leave packages out of bench/gpu/packages.txt, or draw fewer rooms")


if __name__ == "__main__":
    main()
