"""The CustomResourceDefinition says what the models say."""

import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from evolution_api import crd
from evolution_api.run.spec import EvolutionRunSpec


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    (version,) = crd.custom_resource_definition()["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from objects(field, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from objects(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from objects(schema["additionalProperties"], f"{path}.*")


def model_of(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)


def defaults(model: type[BaseModel], path: str) -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}"
        if field.default is not PydanticUndefined and field.default is not None:
            yield here, to_jsonable_python(field.default, by_alias=True, exclude_none=True)
        inner = model_of(field.annotation)
        if inner is not None:
            yield from defaults(inner, here)
        if get_origin(field.annotation) is tuple and (entry := model_of(get_args(field.annotation)[0])) is not None:
            yield from defaults(entry, f"{here}[]")


def test_the_committed_file_is_what_the_models_say():
    assert crd.FILE.read_text() == crd.text(), "run `python -m evolution_api.crd`"


def test_every_default_of_the_models_is_the_schemas_default(schema):
    written = {path: field["default"] for path, field in objects(schema) if "default" in field}
    assert written.pop("status") == {"observedGeneration": -1}
    assert written == dict(defaults(EvolutionRunSpec, "spec"))


def test_every_field_has_a_description(schema):
    silent = [p for p, f in objects(schema) if "description" not in f and not p.endswith(("]", "*"))]
    assert silent == ["apiVersion", "kind", "metadata"]


def test_the_schema_is_structural(schema):
    for path, field in objects(schema):
        assert not {"$ref", "anyOf", "oneOf", "allOf", "title", "const", "propertyNames"} & set(field), path
        assert not {"properties", "additionalProperties"} <= set(field), path
        assert field["type"] in {"object", "array", "string", "integer", "number", "boolean"}, path


def test_what_rules_read_is_bounded(schema):
    bounds = {"string": {"maxLength", "enum"}, "array": {"maxItems"}, "object": {"maxProperties", "properties"}}
    unbounded = [
        p for p, f in objects(schema["properties"]["spec"], "spec") if f["type"] in bounds and not bounds[f["type"]] & set(f)
    ]
    assert unbounded == []


def test_the_file_stays_small_enough_for_client_side_apply():
    assert len(crd.text()) < 150_000  # kubectl keeps a copy in an annotation of at most 262,144 bytes


def test_people_see_the_columns_that_they_ask_for():
    (version,) = crd.custom_resource_definition()["spec"]["versions"]
    assert [(c["name"], c["jsonPath"]) for c in version["additionalPrinterColumns"]] == [
        ("Phase", ".status.phase"),
        ("Round", ".status.progress"),
        ("Stage", ".status.stage"),
        ("Accepted", ".status.accepted"),
        ("Frontier", ".status.frontierPercent"),
        ("Score", ".status.score"),
        ("Best", ".status.best.value"),
        ("Age", ".metadata.creationTimestamp"),
    ]


def test_conditions_and_rounds_are_maps_by_their_keys(schema):
    status = schema["properties"]["status"]["properties"]
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert status["rounds"]["x-kubernetes-list-map-keys"] == ["round"]
    assert "type" in status["conditions"]["items"]["required"]
    assert "round" in status["rounds"]["items"]["required"]


RULES = """\
spec.generation.pod.env[]: !self.name.startsWith('EVOLUTION_')
spec.generation.pod.resources: self.requests.all(name, name in ['cpu', 'memory', 'ephemeral-storage']) && \
self.limits.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])
spec.generation.proposer: [has(self.grammar), has(self.endpoint), has(self.inline), has(self.serving)].filter(x, x).size() == 1
spec.generation: self.maxFailedShards < self.shards
spec.generation: self.kinds.all(kind, self.kinds.exists_one(other, other == kind))
spec.difficulty: self.hardBelow < self.easyAbove
spec.difficulty: !(self.signal == 'training' && self.rule == 'seeing')
spec.retry: self.backoffSeconds <= self.maxBackoffSeconds
spec.scenes.procedural: self.objectsMin <= self.objectsMax
spec.scenes: has(self.uri) != has(self.procedural)
spec.training.deepspeed: none
spec.training: self.globalBatchSize >= self.nodes * self.processesPerNode
spec.training: self.select.all(label, self.select.exists_one(other, other == label))
spec.training: !self.deepspeed.offloadParameters || self.deepspeed.zeroStage == 3
spec.training: !self.deepspeed.offloadOptimizer || self.deepspeed.zeroStage >= 1
spec: self.difficulty.signal == 'probe' || self.training.select.size() == 3
spec.model: has(self.revision) == has(oldSelf.revision)
spec.model.uri: self == oldSelf
spec.scenes: self == oldSelf
spec.seed: self == oldSelf
spec.storage.uri: self == oldSelf
spec.generation.proposer: self == oldSelf
"""


@pytest.mark.parametrize("line", RULES.splitlines())
def test_a_rule_stands_at_its_field(schema, line):
    path, _, rule = line.partition(": ")
    found = [r["rule"] for p, f in objects(schema) if p == path for r in f.get("x-kubernetes-validations", ())]
    if rule == "none":
        assert found == []
    else:
        assert rule in found


def test_every_rule_says_what_to_do(schema):
    for path, field in objects(schema):
        for rule in field.get("x-kubernetes-validations", ()):
            assert len(rule["message"]) > 20, path
            assert "\n" not in rule["message"], path


def test_immutability_names_the_field(schema):
    (rule,) = schema["properties"]["spec"]["properties"]["training"]["properties"]["steps"]["x-kubernetes-validations"]
    assert rule == {
        "rule": "self == oldSelf",
        "message": "spec.training.steps cannot change while the run lives: its rounds could not be compared; make a new run",
    }


def test_the_text_parses_to_the_definition():
    assert yaml.safe_load(crd.text()) == crd.custom_resource_definition()
