"""Which child does the work of which stage, and which stages have a model server beside it."""

from collections.abc import Callable
from typing import NamedTuple

from evolution_api.kinds import Stage
from evolution_api.run.spec import EvolutionRunSpec
from evolution_operator.children import inferenceservice, job, pytorchjob
from evolution_operator.children.kind import ChildKind
from evolution_operator.interface import KubeObject
from evolution_operator.manifests import cleanup, evaluate, generate, prepare, probe, server, train
from evolution_operator.pod import Work


class Builder(NamedTuple):
    kind: ChildKind
    manifest: Callable[[Work], KubeObject]


WORK: dict[Stage, Builder] = {
    "prepare": Builder(job.KIND, prepare.manifest),
    "generate": Builder(job.KIND, generate.manifest),
    "probe": Builder(job.KIND, probe.manifest),
    "train": Builder(pytorchjob.KIND, train.manifest),
    "evaluate": Builder(job.KIND, evaluate.manifest),
    "cleanup": Builder(job.KIND, cleanup.manifest),
}
SERVER = Builder(inferenceservice.KIND, server.manifest)


def needs_server(spec: EvolutionRunSpec, stage: Stage) -> bool:
    return stage == "probe" or (stage == "generate" and spec.generation.proposer.serving is not None)
