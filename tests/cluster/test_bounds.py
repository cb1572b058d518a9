"""Every field of the spec driven through its bounds: the API server takes what the models take and nothing else, and what both
take makes Jobs that the API server takes too."""

import json
from copy import deepcopy

import pytest
from tests.cluster.harness.api import Api, Object, Refused
from tests.cluster.runs import run
from tests.cluster.values import FIELDS, spec_with, tried

from evolution_api.explain import explain
from evolution_api.layout import ENV_INPUT
from evolution_api.run import EvolutionRun
from evolution_operator.cli.manifests import children


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
        if isinstance(found, EvolutionRun) == bool(refused):
            disagreements.append((str(value)[:60], f"server: {refused or 'taken'}", f"models: {found}"[:300]))
    assert disagreements == []


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Jobs that were tried already, without the copy of the spec that each carries."""
    return set()


def bare(job: Object) -> str:
    job = deepcopy(job)
    for container in job["spec"]["template"]["spec"]["containers"]:
        container["env"] = [variable for variable in container["env"] if variable["name"] != ENV_INPUT]
    return json.dumps(job, sort_keys=True)


@pytest.mark.parametrize("path", FIELDS)
def test_what_is_taken_makes_jobs_that_are_taken(api: Api, seen: set[str], path: str) -> None:
    refusals = []
    for value in tried(FIELDS[path]):
        document = run() | {"spec": spec_with(path, value)}
        document["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
        found = explain(document)
        if not isinstance(found, EvolutionRun):
            continue
        for job in (child for child in children(found, 1) if child["kind"] == "Job"):
            if bare(job) not in seen:
                seen.add(bare(job))
                try:
                    api.apply(job, dry_run=True)
                except Refused as refusal:
                    refusals.append((str(value)[:60], job["metadata"]["name"], str(refusal)[:300]))
    assert refusals == []
