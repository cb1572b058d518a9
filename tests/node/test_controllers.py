"""The operator's PyTorchJobs and InferenceServices under the real training operator and KServe, in restricted namespaces.

They are what the operator makes, but that a shell script stands for the program. Its verdicts rest on what is found here.
"""

from copy import deepcopy

import pytest
from tests.cluster.runs import run
from tests.node.pods import POD_LIMIT_S, RESTRICTED, await_phase, pod
from tests.summaries import stage_summary
from tests.testbed.api import Api, Object, Refused, address
from tests.testbed.image import IMAGE, USER
from tests.testbed.tools.daemon import eventually

from evolution_api.endings import LastWords
from evolution_api.jobs import StageInput
from evolution_api.kinds import StageName
from evolution_api.layout import ENV_INPUT, LABEL_ROLE, SERVED_MODEL, SERVER_PORT
from evolution_api.run.resource import EvolutionRun
from evolution_api.summaries import AnySummary
from evolution_jobs.train.launcher import PodRank
from evolution_operator.children.inferenceservice import CRASHES_UNTIL_FAILED
from evolution_operator.children.registry import verdict
from evolution_operator.children.verdict import Verdict
from evolution_operator.interface import Settings
from evolution_operator.manifests import server, train
from evolution_operator.pod import Work

SPEC: Object = {"training": {"nodes": 2}, "scheduling": {"accelerator": "none"}}
SUMMARY = stage_summary("train")
UNTIL_TERMINATED = "trap 'exit 143' TERM; while :; do sleep 0.1; done"
SERVES = f"""
    mkdir -p /tmp/www/v1/models
    echo hello >/tmp/www/v1/models/{SERVED_MODEL}
    trap 'exit 143' TERM
    httpd -f -p {SERVER_PORT} -h /tmp/www &
    wait
"""


def work(namespace: str, stage: StageName, spec: Object | None = None) -> Work:
    made = run({**SPEC, **(spec or {})}, namespace=namespace)
    made["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    return Work(EvolutionRun.model_validate(made), stage, 1, 1, Settings())


def scripted(pod_spec: Object, script: str) -> None:
    """Has the pod's container run this script, as the user that the operator's images name."""
    (main,) = pod_spec["containers"]
    main["image"], main["command"] = IMAGE, ["sh", "-c", script]
    main["securityContext"]["runAsUser"] = USER


def training(namespace: str, master: str, worker: str, spec: Object | None = None) -> Object:
    job = train.manifest(work(namespace, "train", spec))
    del job["metadata"]["ownerReferences"]  # of a run that is not there
    for role, script in (("Master", master), ("Worker", worker)):
        replicas = job["spec"]["pytorchReplicaSpecs"]
        replicas[role] = deepcopy(replicas[role])
        scripted(replicas[role]["template"]["spec"], script)
    return job


def serving(namespace: str, script: str) -> Object:
    service = server.manifest(work(namespace, "probe"))
    del service["metadata"]["ownerReferences"]
    scripted(service["spec"]["predictor"], script)
    return service


def pods_of(api: Api, child: Object) -> list[Object]:
    meta = child["metadata"]
    selector = f"{LABEL_ROLE}={meta['labels'][LABEL_ROLE]}"
    found: list[Object] = api.get(f"/api/v1/namespaces/{meta['namespace']}/pods?labelSelector={selector}")["items"]
    return found


def judged(api: Api, child: Object) -> Verdict:
    return verdict(api.get(address(child)), pods_of(api, child))


def await_verdict(api: Api, child: Object, *states: str) -> Verdict:
    eventually(lambda: judged(api, child).state in states, f"the verdict is {' or '.join(states)}", POD_LIMIT_S)
    return judged(api, child)


def condition(child: Object, type_: str) -> tuple[str, str] | None:
    """Its status and its reason."""
    conditions = child.get("status", {}).get("conditions") or []
    return next(((c["status"], c.get("reason", "")) for c in conditions if c["type"] == type_), None)


def says(summary: AnySummary) -> str:
    return f"echo '{LastWords(summary=summary).to_json()}' >/dev/termination-log"


@pytest.mark.usefixtures("training_operator")
class TestPyTorchJob:
    def test_its_pods_find_each_other_by_the_variables_that_the_trainer_reads(self, api: Api, restricted: str) -> None:
        master = f"env; echo hello from $HOSTNAME | nc -l -p $MASTER_PORT; {says(SUMMARY)}"
        worker = "env; until nc -w 5 $MASTER_ADDR $MASTER_PORT </dev/null; do sleep 0.2; done"
        job = api.apply(training(restricted, master, worker))
        found = await_verdict(api, job, "Succeeded", "Failed")
        assert (found.state, found.summaries) == ("Succeeded", (SUMMARY,))
        name = job["metadata"]["name"]
        assert f"hello from {name}-master-0\n" in api.kubectl("logs", f"{name}-worker-0", namespace=restricted)
        for rank, role in enumerate(("master", "worker")):
            said = api.kubectl("logs", f"{name}-{role}-0", namespace=restricted)
            environment = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
            place = PodRank.from_environment(StageInput.model_validate_json(environment[ENV_INPUT]), environment)
            assert place == PodRank(nodes=2, node=rank, processes=1, address=f"{name}-master-0", port=23456)

    @pytest.mark.parametrize("culprit", ["master", "worker"])
    def test_one_pods_failure_ends_it_and_takes_the_other_down(self, api: Api, restricted: str, culprit: str) -> None:
        scripts = {"master": UNTIL_TERMINATED, "worker": UNTIL_TERMINATED} | {culprit: "echo out of luck; exit 3"}
        job = api.apply(training(restricted, **scripts))
        found = await_verdict(api, job, "Succeeded", "Failed")
        failed = f"{job['metadata']['name']}-{culprit}-0"
        assert (found.state, found.reason, found.message) == ("Failed", "PodFailed", f"out of luck (pod {failed}, exit code 3)")
        eventually(lambda: [p["metadata"]["name"] for p in pods_of(api, job)] == [failed], "only the failed pod is left")
        assert judged(api, job) == found

    def test_its_pods_end_at_once_before_their_programs_can_heed_a_signal(self, api: Api, restricted: str) -> None:
        job = api.apply(training(restricted, "exec sleep 1000", "exec sleep 1000"))
        await_verdict(api, job, "Running")
        api.delete(address(job))
        eventually(lambda: pods_of(api, job) == [], "they are gone long before the 300 s that they may take", POD_LIMIT_S)

    def test_suspended_it_has_no_pods_until_it_is_resumed(self, api: Api, restricted: str) -> None:
        spec = {"scheduling": {**SPEC["scheduling"], "queueName": "team-a"}}
        job = api.apply(training(restricted, says(SUMMARY), "true", spec))
        eventually(lambda: condition(api.get(address(job)), "Suspended") == ("True", "PyTorchJobSuspended"), "it is suspended")
        assert judged(api, job).state == "Queued"
        assert pods_of(api, job) == []
        api.patch(address(job), {"spec": {"runPolicy": {"suspend": False}}})
        assert await_verdict(api, job, "Succeeded", "Failed").state == "Succeeded"

    def test_what_its_webhook_refuses_is_told(self, api: Api, restricted: str) -> None:
        job = training(restricted, "true", "true")
        job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"]["containers"][0]["name"] = "main"
        with pytest.raises(Refused, match="pytorch"):
            api.apply(job)


@pytest.mark.usefixtures("kserve")
class TestInferenceService:
    def test_it_becomes_ready_answers_other_pods_and_goes_with_its_pods(self, api: Api, restricted: str) -> None:
        service = api.apply(serving(restricted, SERVES))
        url = await_verdict(api, service, "Running").url
        assert url == f"http://{service['metadata']['name']}-predictor.{restricted}.svc.cluster.local"
        asks = api.create(pod(restricted, "asks", f"wget -q -O - {url}/v1/models/{SERVED_MODEL}", securityContext=RESTRICTED))
        await_phase(api, asks, "Succeeded", "Failed")
        assert api.kubectl("logs", "asks", namespace=restricted) == "hello\n"
        api.delete(address(service))
        eventually(lambda: pods_of(api, service) == [], "its pods are gone", POD_LIMIT_S)
        with pytest.raises(Refused, match="not found"):
            api.get(address(service))

    def test_a_crash_from_the_start_shows_in_its_pods_alone(self, api: Api, restricted: str) -> None:
        service = api.apply(serving(restricted, "echo no weights; exit 3"))
        found = await_verdict(api, service, "Running", "Failed")
        (failing,) = pods_of(api, service)
        words = f"no weights (pod {failing['metadata']['name']}, exit code 3)"
        assert (found.state, found.reason, found.message) == ("Failed", "ServerFailed", words)
        assert failing["status"]["containerStatuses"][0]["restartCount"] >= CRASHES_UNTIL_FAILED
        told = api.get(address(service))
        # KServe goes on waiting
        assert condition(told, "PredictorReady") == ("False", "MinimumReplicasUnavailable")
        model = told["status"]["modelStatus"]
        assert (model["transitionStatus"], model["states"]["targetModelState"]) == ("InProgress", "Pending")
