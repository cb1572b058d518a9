"""EvolutionRuns as a person writes them, for the tests of this folder."""

from tests.documents import laid_over
from tests.testbed.api import Object

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
