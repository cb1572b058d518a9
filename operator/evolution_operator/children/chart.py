"""What the chart has to know of the kinds of children: the rights that the operator needs, and what to tell where one is missing.

python -m evolution_operator.children.chart            writes charts/evolution-operator/files/children.yaml
python -m evolution_operator.children.chart --check    whether the committed file is what it would write (exit code 1 if not)
"""

import argparse
import sys
from pathlib import Path

import yaml

from evolution_operator.children.registry import KINDS

FILE = Path(__file__).parents[3] / "charts" / "evolution-operator" / "files" / "children.yaml"
HEADER = (
    "# Generated from operator/evolution_operator/children by `python -m evolution_operator.children.chart`; change it there.\n"
)


def text() -> str:
    kinds = [{"group": k.group, "version": k.version, "kind": k.kind, "resource": k.plural, "missing": k.missing} for k in KINDS]
    return HEADER + yaml.safe_dump(kinds, sort_keys=False, width=120)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m evolution_operator.children.chart", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is not up to date")
    if not parser.parse_args().check:
        FILE.write_text(text())
        return 0
    if FILE.exists() and FILE.read_text() == text():
        return 0
    sys.stderr.write(f"{FILE.name} is not what the registry says: run `make crds` and commit it\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
