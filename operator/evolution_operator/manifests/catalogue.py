"""Which child does the work of which stage: a Job around the stage's program, where nothing else is said."""

from collections.abc import Callable
from typing import NamedTuple

from evolution_api.kinds import StageName
from evolution_api.stages import STAGES
from evolution_operator.children import inferenceservice, job, pytorchjob
from evolution_operator.children.kind import ChildKind
from evolution_operator.interface import KubeObject
from evolution_operator.manifests import cleanup, generate, server, stage, train
from evolution_operator.pod import Work


class Builder(NamedTuple):
    kind: ChildKind
    manifest: Callable[[Work], KubeObject]


WORK: dict[StageName, Builder] = {
    **{each.name: Builder(job.KIND, stage.manifest) for each in STAGES},
    "generate": Builder(job.KIND, generate.manifest),
    "train": Builder(pytorchjob.KIND, train.manifest),
    "cleanup": Builder(job.KIND, cleanup.manifest),
}
SERVER = Builder(inferenceservice.KIND, server.manifest)
