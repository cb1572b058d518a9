"""A committed file that is generated: written by its program, or with `--check` compared."""

import argparse
import sys
from pathlib import Path


def write_or_check(file: Path, text: str, *, program: str, description: str, source: str) -> int:
    """The exit code of `program`: with `--check` 1 where the file is not what `source` says, and nothing is written."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not up to date")
    if not parser.parse_args().check:
        file.write_text(text)
        return 0
    if file.exists() and file.read_text() == text:
        return 0
    sys.stderr.write(f"{file.name} is not what {source}: run `{program}` and commit it\n")
    return 1
