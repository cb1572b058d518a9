"""Generates the CustomResourceDefinition from the models: the contract is written once, in Python.

    python -m evolution_api.crd            writes crds/evolution.spatial.io_evolutionruns.yaml
    python -m evolution_api.crd --check    says whether the committed file is what it would write (exit code 1 if not)

What comes out is a structural schema: references inlined, `None` left out instead of nullable, every default written
out in full (the API server checks a rule against a default as it stands), every rule as CEL, every immutable field as
a transition rule. Strings, lists, maps and numbers of the spec without an upper bound are refused here: CEL's cost is
estimated from the former, and there is a number that is too large for everyone who reads it. It knows nothing about the operator.
"""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from evolution_api.generated import write_or_check
from evolution_api.layout import GROUP, KIND, PLURAL, VERSION
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.rules import Ruled
from evolution_api.run.status import EvolutionRunStatus

Schema = dict[str, Any]

FILE = Path(__file__).resolve().parents[1] / f"{GROUP}_{PLURAL}.yaml"
HEADER = "# Generated from crds/evolution_api by `python -m evolution_api.crd`; change it there.\n"
COLUMNS = (
    ("Phase", "string", ".status.phase", "One word for the run's state."),
    ("Round", "string", ".status.progress", "Round under way of all rounds; round 0 prepares."),
    ("Stage", "string", ".status.stage", "Stage under way."),
    ("Accepted", "integer", ".status.accepted", "Accepted questions over all rounds."),
    ("Frontier", "integer", ".status.frontierPercent", "Frontier questions among the latest labelled ones, percent."),
    ("Score", "number", ".status.score", "Latest held-out score."),
    ("Best", "number", ".status.best.value", "Highest value of evaluation.metric so far."),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the run was created."),
)
IMMUTABLE = "x-evolution-immutable"
COPIED = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "format")
UPPER_BOUNDS = {"string": "maxLength", "array": "maxItems", "object": "maxProperties", "integer": "maximum", "number": "maximum"}
LIST_KEYS = {"conditions": "type", "rounds": "round"}
"""Lists of the status that are maps by one of their fields."""


def custom_resource_definition() -> Schema:
    document = EvolutionRun.model_json_schema(by_alias=True)
    models = _Models(document["$defs"])
    spec = models.structural(document["properties"]["spec"], "spec")
    spec["description"] = "What is wanted; every default is the paper's where the paper has one."
    status = _without_defaults(models.structural(document["properties"]["status"], "status"))
    status["description"] = "What is there; written by the operator alone."
    status["default"] = {"observedGeneration": EvolutionRunStatus().observed_generation}
    schema: Schema = {
        "description": "A closed loop that trains a multimodal model to reason about space.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": type_, "jsonPath": path, "description": description}
            for name, type_, path, description in COLUMNS
        ],
        "schema": {"openAPIV3Schema": schema},
    }
    names = {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": KIND.lower(),
        "shortNames": ["evo"],
        "categories": ["all", "ml"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


class _Models:
    """The models' JSON schemas and the rules of their classes, by class name."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self.definitions = definitions
        self.rules = {cls.__name__: cls.rules for cls in _subclasses(Ruled)}

    def structural(self, schema: Schema, path: str) -> Schema:
        """The schema at `path` as the API server takes it."""
        if "anyOf" in schema:
            (chosen,) = [option for option in schema["anyOf"] if option != {"type": "null"}]
            schema = chosen | {key: value for key, value in schema.items() if key != "anyOf"}
        rules: list[Schema] = []
        description = schema.get("description")
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/$defs/")
            definition = self.definitions[name]
            schema = definition | {key: value for key, value in schema.items() if key != "$ref"}
            description = description or definition.get("description")
            rules += [{"rule": rule.cel, "message": rule.message} for rule in self.rules.get(name, ())]
        if "const" in schema:
            schema = schema | {"type": "string", "enum": [schema["const"]]}
        result: Schema = {key: schema[key] for key in COPIED if key in schema}
        if description is not None:
            result = {"description": _said(description), **result}
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if exclusive in schema:
                result |= {bound: schema[exclusive], exclusive: True}
        if schema.get("default") is not None:
            result["default"] = _without_none(schema["default"])
        if schema["type"] == "array":
            result["items"] = self.structural(schema["items"], f"{path}[]")
            key = LIST_KEYS.get(path.rpartition(".")[2])
            if key is not None and path.startswith("status"):
                result |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
            elif path.startswith("spec"):
                result["x-kubernetes-list-type"] = "atomic"
        # What the names of a map's entries look like is beyond a structural schema; what the entries are is not.
        entries = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
        if isinstance(entries, dict):
            result["additionalProperties"] = self.structural(entries, f"{path}.*")
            if "maxProperties" in schema:
                result["maxProperties"] = schema["maxProperties"]
        if "properties" in schema:
            result["properties"] = {n: self.structural(s, f"{path}.{n}") for n, s in schema["properties"].items()}
            if schema.get("required"):
                result["required"] = schema["required"]
            rules += self._kept(schema["properties"], path)
        if schema.get(IMMUTABLE):
            rules.append({"rule": "self == oldSelf", "message": _unchangeable(path)})
        if rules:
            result["x-kubernetes-validations"] = rules
        if path.startswith("spec"):
            _refuse_unbounded(result, path)
        return result

    @staticmethod
    def _kept(properties: dict[str, Schema], path: str) -> list[Schema]:
        """Transition rules are skipped where a field comes or goes, so the object that holds it watches that."""
        absent = [name for name, field in properties.items() if field.get(IMMUTABLE) and field.get("default", ...) is None]
        return [
            {"rule": f"has(self.{name}) == has(oldSelf.{name})", "message": _unchangeable(f"{path}.{name}")} for name in absent
        ]


def _subclasses(cls: type[Ruled]) -> set[type[Ruled]]:
    return {below for child in cls.__subclasses__() for below in {child} | _subclasses(child)}


def _unchangeable(path: str) -> str:
    return f"{path} cannot change while the run lives: its rounds could not be compared; make a new run"


def _said(description: str) -> str:
    """A docstring for people who write YAML: there, what is None in Python is unset."""
    text = " ".join(description.split())
    text = re.sub(r"(^|[.] )None\b", r"\1Unset", text)
    return re.sub(r"\bNone\b", "unset", text)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def _without_defaults(schema: Schema) -> Schema:
    """The operator writes the whole status; what it left out is not there. Only a run that it has not looked at has a default."""
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in kept:
        kept["properties"] = {name: _without_defaults(field) for name, field in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = _without_defaults(kept["items"])
    return kept


def _refuse_unbounded(schema: Schema, path: str) -> None:
    bound = UPPER_BOUNDS.get(schema["type"])
    unbounded = bound is not None and bound not in schema and "enum" not in schema and "properties" not in schema
    assert not unbounded, f"{path} has no {bound}; give it one"


def text() -> str:
    return HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120, allow_unicode=True)


def main() -> int:
    program, description = "python -m evolution_api.crd", "Write the CRD from the models."
    return write_or_check(FILE, text(), program=program, description=description, source="the models say")


if __name__ == "__main__":
    sys.exit(main())
