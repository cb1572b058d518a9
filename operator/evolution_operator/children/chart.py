"""What the chart has to know of the kinds of children: the rights that the operator needs, and what to tell where one is missing.

python -m evolution_operator.children.chart            writes charts/evolution-operator/files/children.yaml
python -m evolution_operator.children.chart --check    whether the committed file is what it would write (exit code 1 if not)
"""

import sys
from pathlib import Path

import yaml

from evolution_api.generated import write_or_check
from evolution_operator.children.registry import KINDS

FILE = Path(__file__).parents[3] / "charts" / "evolution-operator" / "files" / "children.yaml"
HEADER = (
    "# Generated from operator/evolution_operator/children by `python -m evolution_operator.children.chart`; change it there.\n"
)


def text() -> str:
    kinds = [{"group": k.group, "version": k.version, "kind": k.kind, "resource": k.plural, "missing": k.missing} for k in KINDS]
    return HEADER + yaml.safe_dump(kinds, sort_keys=False, width=120)


def main() -> int:
    program, description = "python -m evolution_operator.children.chart", "Write what the chart knows of the kinds of children."
    return write_or_check(FILE, text(), program=program, description=description, source="the registry says")


if __name__ == "__main__":
    sys.exit(main())
