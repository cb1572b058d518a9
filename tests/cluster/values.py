"""Every field of an EvolutionRun's spec with values on both sides of its bounds, read from the schema itself."""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from tests.cluster.runs import SMALLEST
from tests.testbed.api import Object

from evolution_api import crd as contract

SAMPLES = ("x", "1", "s3://bucket/x", "https://models.example/x", "vendor.example/x", "seeing.object_counting")
"""One of them fits any pattern, and still does when its last letter is repeated."""
MAP_KEY = "cpu"
"""A key that every map of the spec takes."""
BESIDE: dict[str, Object] = {"scheduling.tolerations[]": {"key": "x"}, "training.deepspeed": {"zeroStage": 3}}
"""What a rule asks for beside any field of these."""
LITTLE = {"integer": 1, "number": 1e-3}
"""What is added to a bound to get past it."""


def fields(schema: Object, path: str = "") -> Iterator[tuple[str, Object]]:
    """Path and schema of every field; entries of lists and maps are `path[]`."""
    if path:
        yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, f"{path}.{name}".lstrip("."))
    inner = schema.get("items") or schema.get("additionalProperties")
    if inner is not None:
        yield from fields(inner, f"{path}[]")


(VERSION,) = yaml.safe_load(contract.FILE.read_text())["spec"]["versions"]
FIELDS = dict(fields(VERSION["schema"]["openAPIV3Schema"]["properties"]["spec"]))


def fitting(schema: Object) -> Any:
    """The plainest value that a field may have."""
    match schema["type"]:
        case "object" if "additionalProperties" in schema:
            return {MAP_KEY: fitting(schema["additionalProperties"])}
        case "object":
            return {name: fitting(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [fitting(schema["items"])]
        case "string" if "enum" not in schema:
            return next(sample for sample in SAMPLES if re.search(schema.get("pattern", ""), sample))
        case "string":
            return schema["enum"][0]
        case _:
            return schema.get("default", schema.get("minimum"))


def tried(schema: Object) -> list[Any]:
    """Values inside the field's bounds, on them, past them, and of other types.

    Null and 1.0 for a whole number are left out: Kubernetes takes a null for an absent field, and 1.0 for 1, where a
    file is refused with a sentence.
    """
    plain = fitting(schema)
    values: list[Any] = [plain, "", "true", 7, 1.5, True, False, [], {}]
    values += [schema["default"]] if "default" in schema else []
    if "enum" in schema:
        values += [*schema["enum"], "no-such-choice", 99]
    elif schema["type"] == "string":
        values += [plain + plain[-1] * (schema["maxLength"] - len(plain) + more) for more in (0, 1)]
        values += [plain + "\n", "é" * schema["maxLength"], f" {plain}", "://"]
    for bound in (schema[key] for key in ("minimum", "maximum") if key in schema):
        values += [bound, bound - LITTLE[schema["type"]], bound + LITTLE[schema["type"]], str(bound)]
    if schema["type"] in LITTLE:
        values += [2**63, -(2**63) - 1, 1e300]
    if schema["type"] == "array":
        values += [plain * schema["maxItems"], plain * (schema["maxItems"] + 1), [None], [[]]]
    if "additionalProperties" in schema:
        entry = plain[MAP_KEY]
        values += [{f"key{i}": entry for i in range(schema["maxProperties"] + more)} for more in (0, 1)]
        values.append({"": entry})
    return values


def spec_with(path: str, value: Any) -> Object:
    """The smallest spec in which the field at `path` has this value."""
    field = path
    while path:
        if path.endswith("[]"):
            path = path.removesuffix("[]")
            value = [value] if FIELDS[path]["type"] == "array" else {MAP_KEY: value}
        else:
            path, _, name = path.rpartition(".")
            value = {**(fitting(FIELDS[path]) if path else {}), **BESIDE.get(path, {}), name: value}
    ((group, part),) = value.items()
    if isinstance(part, dict):
        part = {**SMALLEST.get(group, {}), **part}
        if field.startswith("scenes.uri"):
            del part["procedural"]
    return {**SMALLEST, group: part}
