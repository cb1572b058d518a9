"""The model server beside a stage: the solver of a probe, or the frozen proposer of `proposer.serving`.

A KServe InferenceService with our own predictor. It downloads its weights itself: KServe's storage initializer has a
fixed memory limit and no security context. A round or an attempt makes a new one; nothing is ever patched.
"""

from evolution_api.layout import SERVED_MODEL, SERVER_PORT
from evolution_operator.interface import KubeObject
from evolution_operator.manifests.pod import Work, container, metadata, pod_spec

SUFFIX = "-server"


def manifest(work: Work) -> KubeObject:
    spec = work.run.spec
    serving = spec.generation.proposer.serving if work.stage == "generate" else None
    replicas = serving.replicas if serving is not None else spec.probe.replicas
    main = container(
        work,
        "serve",
        spec.probe.pod,
        name="kserve-container",
        image=work.settings.model_image,
        accelerators=1,
        shared_memory=True,
    )
    main["ports"] = [{"containerPort": SERVER_PORT, "protocol": "TCP"}]
    main["readinessProbe"] = {
        "httpGet": {"path": f"/v1/models/{SERVED_MODEL}", "port": SERVER_PORT},
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }
    described = metadata(work, "server", SUFFIX)
    described["labels"]["networking.kserve.io/visibility"] = "cluster-local"
    described["annotations"] = {
        "serving.kserve.io/deploymentMode": work.settings.deployment_mode,
        "serving.kserve.io/autoscalerClass": "none",
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": described,
        "spec": {
            "predictor": {
                "labels": work.labels("server"),
                "minReplicas": replicas,
                "maxReplicas": replicas,
                "timeout": spec.probe.timeout_seconds,
                **pod_spec(work, main),
            }
        },
    }
