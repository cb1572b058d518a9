"""Every field of a run under way edited once: the operator takes the edit up, or the API server refuses it with a sentence."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.lab import Lab, at_work, operator
from tests.cluster.runs import run
from tests.cluster.values import FIELDS, spec_with, tried
from tests.testbed.api import Object, Refused
from tests.testbed.tools.daemon import eventually

from evolution_api.explain import explain
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.spec import EvolutionRunSpec

pytestmark = pytest.mark.skipif(
    "EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes"
)

ONE_CHOICE = {"training.method"}
LEAVES = [path for path, schema in FIELDS.items() if not {"properties", "items", "additionalProperties"} & schema.keys()]


def edits(path: str, before: EvolutionRunSpec) -> Iterator[Object]:
    """Specs that are good in themselves, and another value of this field."""
    for value in tried(FIELDS[path]):
        document = run() | {"spec": spec_with(path, value)}
        found = explain(document)
        if isinstance(found, EvolutionRun) and found.spec != before:
            yield document["spec"]


def holds(lab: Lab, condition: str) -> tuple[str | None, int | None]:
    """Whether it holds, and for which generation of the spec."""
    found = lab.condition(condition)
    return found.get("status"), found.get("observedGeneration")


def test_every_field_is_taken_up_or_refused_in_words(lab: Lab, kubeconfig: Path, tmp_path: Path) -> None:
    document = run(namespace=lab.namespace)
    before = EvolutionRun.model_validate(lab.api.apply(document)).spec
    taken, refused_without_words = [], []
    with at_work(operator(tmp_path, kubeconfig, lab.namespace, identity="only")):
        lab.turn_to(1, "generate")
        for path in LEAVES:
            if path in ONE_CHOICE:
                continue
            try:
                edited = lab.api.apply(document | {"spec": next(edits(path, before))})
            except Refused as refused:
                if "cannot change while the run lives" not in str(refused):
                    refused_without_words.append((path, str(refused)))
                continue
            generation = edited["metadata"]["generation"]
            kind = "Suspended" if path == "suspend" else "Progressing"
            expected = ("True", generation)
            eventually(lambda: holds(lab, kind) == expected, f"{path} is taken up", 30)  # noqa: B023
            taken.append(path)
    assert refused_without_words == []
    assert {path.partition(".")[0] for path in taken} >= {"rounds", "suspend", "generation", "probe", "training", "retry"}
