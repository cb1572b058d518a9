"""serving.kserve.io/v1beta1 InferenceService: the same model server on a free loopback port. Stands for KServe.

The address appears when the server's readiness path answers. A server that ends is started again after a growing pause, as a
Deployment's pod would be: on its old port if it has answered there, on another if not. Its last words stay readable in the pod's
`lastState`.
"""

import http.client
from datetime import datetime, timedelta

from evolution_operator.local.child import Child
from evolution_operator.local.errors import RefusedError
from evolution_operator.local.pods import POD_FIELDS, PodProcess, new_pod, only
from evolution_operator.local.trainings import LOOPBACK, free_port

ASK_EVERY_S = 0.2
"""Between two looks at the readiness path; a cluster's probe has seconds, but nothing else waits on a machine's own loopback."""
ASK_TIMEOUT_S = 1.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PREDICTOR_FIELDS = frozenset({"labels", "minReplicas", "maxReplicas", "timeout"})


class InferenceService(Child):
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
            pod = self.new(free_port())
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
            main["args"][-1] = str(free_port())
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
        connection = http.client.HTTPConnection(LOOPBACK, self.port(pod), timeout=ASK_TIMEOUT_S)
        try:
            connection.request("GET", main["readinessProbe"]["httpGet"]["path"])
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
