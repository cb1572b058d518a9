"""Which child does the work of which stage, and which stages have a model server beside it."""

from collections.abc import Callable
from typing import NamedTuple

from evolution_api.kinds import Stage
from evolution_api.run import EvolutionRunSpec
from evolution_operator.interface import KubeObject
from evolution_operator.manifests import cleanup, evaluate, generate, prepare, probe, server, train
from evolution_operator.manifests.pod import Work


class Builder(NamedTuple):
    kind: str
    manifest: Callable[[Work], KubeObject]


WORK: dict[Stage, Builder] = {
    "prepare": Builder("Job", prepare.manifest),
    "generate": Builder("Job", generate.manifest),
    "probe": Builder("Job", probe.manifest),
    "train": Builder("PyTorchJob", train.manifest),
    "evaluate": Builder("Job", evaluate.manifest),
    "cleanup": Builder("Job", cleanup.manifest),
}
SERVER = Builder("InferenceService", server.manifest)


def needs_server(spec: EvolutionRunSpec, stage: Stage) -> bool:
    return stage == "probe" or (stage == "generate" and spec.generation.proposer.serving is not None)
