"""The model server beside a stage: the solver of a probe, or the frozen proposer of `proposer.serving`."""

from evolution_api.stages import BY_NAME
from evolution_operator.children import inferenceservice
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, container


def manifest(work: Work) -> KubeObject:
    spec = work.run.spec
    serving = spec.generation.proposer.serving if BY_NAME[work.stage].server(spec) == "proposer" else None
    replicas = serving.replicas if serving is not None else spec.probe.replicas
    main = container(
        work,
        "serve",
        spec.probe.pod,
        name=inferenceservice.CONTAINER,
        image=work.settings.model_image,
        accelerators=1,
        shared_memory=True,
    )
    return inferenceservice.manifest(work, main, replicas=replicas, timeout_s=spec.probe.timeout_seconds)
