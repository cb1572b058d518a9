"""A kind of child is a file: nothing else of the operator spells out its names, and the chart follows the registry."""

import pytest
from tests.conftest import ROOT

from evolution_operator.children import chart
from evolution_operator.children.kind import ChildKind
from evolution_operator.children.registry import KINDS

OURS = [kind for kind in KINDS if kind.kind != "Job"]  # which is a word, too


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.kind)
def test_the_names_of_a_kind_stand_in_its_own_file_alone(kind: ChildKind) -> None:
    names = (kind.kind, kind.plural, kind.group)
    files = [path for path in (ROOT / "operator").rglob("*.py") if any(name in path.read_text() for name in names)]
    assert [path.name for path in files] == [f"{kind.kind.lower()}.py"]


def test_the_chart_has_what_the_registry_says() -> None:
    assert chart.FILE.read_text() == chart.text(), "run `make crds`"


def test_kinds_that_kubernetes_does_not_bring_say_what_waits_without_them() -> None:
    assert [kind.kind for kind in KINDS if not kind.missing] == ["Job"]
