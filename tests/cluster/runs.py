"""EvolutionRuns as a person writes them, for the tests of this folder."""

from copy import deepcopy

from tests.cluster.harness.api import Object

from evolution_api.layout import API_VERSION, KIND

SMALLEST: Object = {
    "model": {"uri": "hf://owner/name"},
    "scenes": {"procedural": {}},
    "storage": {"uri": "s3://bucket/prefix"},
}
"""Only what has no default."""


def run(spec: Object | None = None, *, namespace: str = "default", name: str = "x") -> Object:
    """The smallest run with the fields of `spec` laid over it; None takes a field away."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": laid_over(SMALLEST, spec or {})}


def laid_over(base: Object, changes: Object) -> Object:
    result = deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = laid_over(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result
