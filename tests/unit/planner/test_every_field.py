"""No field of the spec is ignored in silence: another value of it makes other children or another life of a run, or a program
that is told of it reads it.

What a program does with what it reads is for that program's own tests.
"""

import ast
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from tests.cluster.values import FIELDS, spec_with, tried
from tests.conftest import ROOT
from tests.documents import laid_over
from tests.summaries import scored

from evolution_api.explain import explain
from evolution_api.layout import API_VERSION, ENV_INPUT, KIND, LABEL_ATTEMPT, LABEL_STAGE
from evolution_api.run.resource import EvolutionRun
from evolution_operator.interface import Plan

LEAVES = [path for path, schema in FIELDS.items() if "properties" not in schema and "items" not in schema]
STEPS = 100
BASE: dict[str, Any] = {"rounds": 3, "retry": {"backoffSeconds": 400}}
"""The second wait is one that maxBackoffSeconds cuts."""
ONE_CHOICE = {"training.method"}
READ = {
    node.attr
    for file in (ROOT / "jobs").rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text()))
    if isinstance(node, ast.Attribute)
}
"""Names of everything that some program reads of something."""


def specs(path: str) -> Iterator[str]:
    """Different specs, which differ in this field only."""
    seen = set()
    for value in tried(FIELDS[path]):
        spec = laid_over(BASE, spec_with(path, value))
        found = explain({"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "x"}, "spec": spec})
        whole = found.spec.model_dump_json(by_alias=True, exclude_none=True) if isinstance(found, EvolutionRun) else None
        if whole is not None and whole not in seen:
            seen.add(whole)
            yield whole


@cache
def life(world_of: Any, spec: str) -> str:
    """What is planned from a run's beginning to its deletion; shards and trainings fail at first, and nothing gets better."""
    world = world_of()
    world.spec = json.loads(spec)
    told = []
    for _ in range(STEPS):
        before = deepcopy((world.status, sorted(world.children)))
        told.append(as_text(world.step()))
        world.sweep()
        if world.gone:
            break
        moved = [move(world, name) for name in list(world.children)]
        if not any(moved) and before == (world.status, sorted(world.children)):
            world.ask_deletion()
        world.wait(500)
    return "\n".join(told)


def move(world: Any, name: str) -> bool:
    child = world.children[name]
    if child.get("status", {}).get("conditions") or "deletionTimestamp" in child["metadata"]:
        return False
    stage, attempt = (child["metadata"]["labels"][label] for label in (LABEL_STAGE, LABEL_ATTEMPT))
    if child["kind"] == "InferenceService":
        world.ready(name)
    elif (stage, attempt) in (("generate", "1"), ("train", "1"), ("train", "2")):
        world.fail(name)
    elif stage == "evaluate":
        world.succeed(name, scored(score=0.4, seeing=0.1, blind=0.3))
    else:
        world.succeed(name)
    return True


def as_text(plan: Plan) -> str:
    """Without the copy of the spec that programs are told."""
    does = [plan.apply, plan.status.model_dump(mode="json"), plan.finalizers, plan.requeue_after_s]
    text = json.dumps([*does, [event.message for event in plan.events]])
    return re.sub(rf'{{"name": "{ENV_INPUT}", "value": "(\\.|[^"\\])*"}}', "", text)


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in ONE_CHOICE])
def test_a_field_changes_what_is_done(world_of: Any, path: str) -> None:
    first, *others = specs(path)
    assert others
    if all(life(world_of, other) == life(world_of, first) for other in others):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", path.rpartition(".")[2].removesuffix("[]")).lower()
        assert name in READ, "neither the operator nor a program acts on it"
