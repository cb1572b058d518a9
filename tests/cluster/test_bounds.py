"""Every field of the spec driven through its bounds: the API server takes what the models take and nothing else, both say which
field they refuse, and what both take makes children that the API server takes too."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from tests.cluster.runs import run
from tests.cluster.values import FIELDS, spec_with, tried
from tests.testbed.api import Api, Object, Refused

from evolution_api.explain import explain
from evolution_api.layout import ENV_INPUT
from evolution_api.run.resource import EvolutionRun
from evolution_cli.commands.manifests import children


@pytest.mark.parametrize("path", FIELDS)
def test_the_api_server_and_the_models_take_the_same_values(api: Api, crd: Object, path: str) -> None:
    disagreements = []
    for value in tried(FIELDS[path]):
        document = run() | {"spec": spec_with(path, value)}
        found = explain(document)
        refused = ""
        try:
            api.create(document, dry_run=True)
        except Refused as refusal:
            refused = str(refusal)
        names = path.partition("[]")[0].split(".")
        unnamed = refused and not all(name in refused and name in str(found) for name in names)
        if isinstance(found, EvolutionRun) == bool(refused) or unnamed:
            disagreements.append((str(value)[:60], f"server: {refused or 'taken'}", f"models: {found}"[:300]))
    assert disagreements == []


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Children that were tried already, without the copy of the spec that each carries."""
    return set()


def bare(child: Object) -> str:
    child = deepcopy(child)
    for container in containers(child["spec"]):
        container["env"] = [variable for variable in container["env"] if variable["name"] != ENV_INPUT]
    return json.dumps(child, sort_keys=True)


def containers(spec: Any) -> Iterator[Object]:
    """Of all pods that are written anywhere in it."""
    if isinstance(spec, dict):
        yield from spec.get("containers", ())
    for inner in spec.values() if isinstance(spec, dict) else ():
        yield from containers(inner)


@pytest.mark.parametrize("path", FIELDS)
def test_what_is_taken_makes_children_that_are_taken(api: Api, upstream: None, seen: set[str], path: str) -> None:
    refusals = []
    for value in tried(FIELDS[path]):
        document = run() | {"spec": spec_with(path, value)}
        document["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
        found = explain(document)
        if not isinstance(found, EvolutionRun):
            continue
        for child in children(found, 1):
            if bare(child) not in seen:
                seen.add(bare(child))
                try:
                    api.create(child, dry_run=True)
                except Refused as refusal:
                    refusals.append((str(value)[:60], child["metadata"]["name"], str(refusal)[:300]))
    assert refusals == []
