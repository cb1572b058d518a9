"""serving.kserve.io/v1beta1 InferenceService with our own predictor: KServe's storage initializer has a fixed memory limit and no
security context, so the server downloads its weights itself. A round or an attempt makes a new one; nothing is ever patched.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from evolution_api.layout import SERVED_MODEL, SERVER_PORT
from evolution_operator.children.kind import ChildKind, is_its_own
from evolution_operator.children.onemachine import LOOPBACK, POD_FIELDS, LocalChild, PodProcess, new_pod, only
from evolution_operator.children.verdict import (
    Verdict,
    cannot_be_mended,
    condition,
    is_gated,
    last_words,
    pod_is_active,
    queue_message,
    restarts,
    termination,
    under_way,
)
from evolution_operator.errors import RefusedError
from evolution_operator.interface import KubeObject
from evolution_operator.pod import Work, metadata, pod_spec

SUFFIX = "-server"
CONTAINER = "kserve-container"
"""Name of the container that KServe takes for the server."""
CRASHES_UNTIL_FAILED = 3
"""Restarts of a model server after which its attempt counts as failed."""


def manifest(work: Work, main: KubeObject, *, replicas: int, timeout_s: int) -> KubeObject:
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
                "timeout": timeout_s,
                **pod_spec(work, main),
            }
        },
    }


def judge(service: KubeObject, pods: tuple[KubeObject, ...]) -> Verdict:
    """Running means ready to answer. A service never ends by itself; its pods tell what its status does not.

    Its `observedGeneration` is the Deployment's and `modelStatus` sees one pod only, so neither is asked.
    """
    url = service.get("status", {}).get("address", {}).get("url")
    replicas = service["spec"]["predictor"]["minReplicas"]
    if condition(service, "Ready") is not None and url:
        return Verdict("Running", url=url)
    ends = [(pod, termination(pod)) for pod in pods]
    for pod, end in ends:
        if end is not None and cannot_be_mended(end):
            return Verdict("Failed", "ServerFailed", last_words(pod, end), hopeless=1)
        if end is not None and restarts(pod) >= CRASHES_UNTIL_FAILED:
            return Verdict("Failed", "ServerFailed", last_words(pod, end))
    for pod, end in ends:
        if end is not None and not pod_is_active(pod):
            return Verdict("Failed", "ServerFailed", last_words(pod, end))
    if pods and all(is_gated(pod) for pod in pods):
        return Verdict("Queued", "Queued", queue_message(service))
    return replace(under_way(service, pods, None, wanted=replicas, at_once=replicas, known=0), state="Pending")


def is_about(involved: KubeObject, service: KubeObject) -> bool:
    """A Deployment's pods, as those of a service, are made by its ReplicaSet, and it is this that tells of them."""
    if involved.get("kind") == "ReplicaSet":
        return str(involved.get("name")).startswith(f"{service['metadata']['name']}-predictor-")
    return is_its_own(involved, service)


ASK_EVERY_S = 0.2
"""Between two looks at the readiness path; a cluster's probe has seconds, but nothing else waits on a machine's own loopback."""
ASK_TIMEOUT_S = 1.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PREDICTOR_FIELDS = frozenset({"labels", "minReplicas", "maxReplicas", "timeout"})


class LocalInferenceService(LocalChild):
    """The same model server on a free loopback port. The address appears when the server's readiness path answers. A server that
    ends is started again after a growing pause, as a Deployment's pod would be: on its old port if it has answered there, on
    another if not. Its last words stay readable in the pod's `lastState`.
    """

    restart_at: datetime | None = None

    def check(self) -> None:
        spec = self.raw["spec"]
        only("InferenceService.spec", spec, {"predictor"})
        only("InferenceService.spec.predictor", spec["predictor"], PREDICTOR_FIELDS | POD_FIELDS)
        if spec["predictor"].get("minReplicas", 1) != 1:
            raise RefusedError(
                "InferenceService minReplicas is not 1: one machine has no balancer before its servers; set replicas: 1"
            )

    def reconcile(self, now: datetime) -> None:
        pod = self.pods.get(self.pod_name)
        if pod is None:
            pod = self.new(self.machine.free_port())
            self.add(pod, now, share=1)
            self.condition("PredictorReady", "False", now, "MinimumReplicasUnavailable", "the server is not ready")
            self.condition("Ready", "False", now, "PredictorNotReady")
        elif pod.finished:
            self.crashed(pod, now)
        elif pod.process is None:
            if self.restart_at is None or now >= self.restart_at:
                self.add(pod, now, share=1)
        elif pod.process.pid is not None and not self.has("Ready") and self.answers(pod):
            pod.raw["status"]["containerStatuses"][0]["ready"] = True
            self.condition("PredictorReady", "True", now, "MinimumReplicasAvailable")
            self.condition("Ready", "True", now, "PredictorReady")
            self.status["url"] = f"http://{LOOPBACK}:{self.port(pod)}"
            self.status["address"] = {"url": self.status["url"]}

    def wake_after_s(self) -> float | None:
        return super().wake_after_s() if self.has("Ready") else ASK_EVERY_S

    def crashed(self, pod: PodProcess, now: datetime) -> None:
        """The server ended, though a server should not: its pod waits, as a Deployment's does, and starts again after a pause."""
        (status,) = pod.raw["status"]["containerStatuses"]
        last = status["state"]["terminated"]
        words = f"exit code {last['exitCode']}: {last['message'] or 'no last words'}"
        self.restart_at = now + timedelta(seconds=min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** status["restartCount"]))
        pod.raw["status"]["phase"] = "Running"
        status |= {
            "restartCount": status["restartCount"] + 1,
            "lastState": status["state"],
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": words}},
        }
        pod.process = None
        if "address" not in self.status:
            (main,) = pod.raw["spec"]["containers"]
            main["args"][-1] = str(self.machine.free_port())
        self.condition("PredictorReady", "False", now, "CrashLoopBackOff", words)
        self.condition("Ready", "False", now, "PredictorNotReady", words)

    @property
    def pod_name(self) -> str:
        return f"{self.name}-predictor-0"

    def disrupted(self) -> None:
        super().disrupted()
        self.pods.clear()

    def new(self, port: int) -> PodProcess:
        predictor = self.raw["spec"]["predictor"]
        template = {
            "metadata": {"labels": predictor.get("labels", {})},
            "spec": {name: value for name, value in predictor.items() if name in POD_FIELDS},
        }
        pod = new_pod(self.pod_name, template, self.raw, {"serving.kserve.io/inferenceservice": self.name}, {})
        (main,) = pod.raw["spec"]["containers"]
        main["args"] = [*main.get("args", ()), "--http_port", str(port)]
        return pod

    def port(self, pod: PodProcess) -> int:
        return int(pod.raw["spec"]["containers"][0]["args"][-1])

    def answers(self, pod: PodProcess) -> bool:
        (main,) = pod.raw["spec"]["containers"]
        return self.machine.answers(self.port(pod), main["readinessProbe"]["httpGet"]["path"], ASK_TIMEOUT_S)


KIND = ChildKind(
    "serving.kserve.io",
    "v1beta1",
    "InferenceService",
    "inferenceservices",
    frozenset(),  # it never ends by itself
    judge,
    LocalInferenceService,
    ready=frozenset({"Ready"}),
    owns_pods=False,  # a ReplicaSet does
    is_about=is_about,
    missing="Runs wait before their first probe until KServe is installed; those with difficulty.signal: training need none.",
)
