"""What a node does for a pod: runs it, says what it said, resolves names, counts its end rightly, lets it end in peace."""

from tests.node.pods import POD_LIMIT_S, RESTRICTED, await_phase, end_of, pod
from tests.testbed.api import Api, address
from tests.testbed.tools.daemon import eventually


def test_a_pod_runs_and_its_words_are_read(api: Api, namespace: str) -> None:
    made = api.create(pod(namespace, "once", "echo out; echo err >&2; exit 0"))
    assert await_phase(api, made, "Succeeded", "Failed")["status"]["phase"] == "Succeeded"
    # The runtime reads the two streams apart from each other.
    assert sorted(api.kubectl("logs", "once", namespace=namespace).splitlines()) == ["err", "out"]


def test_a_pod_that_fails_says_its_exit_code_and_its_last_words(api: Api, namespace: str) -> None:
    script = "echo no such scene >/dev/termination-log; exit 3"
    end = end_of(await_phase(api, api.create(pod(namespace, "fails", script)), "Succeeded", "Failed"))
    assert (end["exitCode"], end["reason"], end["message"]) == (3, "Error", "no such scene\n")


def test_a_pod_as_pod_security_restricts_it_runs(api: Api, restricted: str) -> None:
    script = "id -u; touch /file 2>/dev/null || echo read-only; grep -c ^Seccomp:.*2 /proc/self/status"
    made = api.create(pod(restricted, "restricted", script, securityContext=RESTRICTED))
    await_phase(api, made, "Succeeded", "Failed")
    assert api.kubectl("logs", "restricted", namespace=restricted) == "65532\nread-only\n1\n"


def test_a_service_is_found_by_its_name_and_answers_from_another_pod(api: Api, namespace: str) -> None:
    script = "mkdir /tmp/www; echo hello from $HOSTNAME >/tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"
    ready = {"httpGet": {"path": "/index.html", "port": 8080}, "periodSeconds": 1}
    api.create(pod(namespace, "server", script, readinessProbe=ready))
    ports = [{"port": 80, "targetPort": 8080}]
    metadata = {"name": "hello", "namespace": namespace}
    spec = {"selector": {"app": "server"}, "ports": ports}
    api.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    api.kubectl("wait", "--for=condition=Ready", "pod/server", "--timeout=50s", namespace=namespace)

    names = ("hello", f"hello.{namespace}.svc.cluster.local")
    asks = "; ".join(f"until wget -q -O - http://{name}; do sleep 0.2; done" for name in names)
    made = api.create(pod(namespace, "client", asks))
    await_phase(api, made, "Succeeded", "Failed")
    assert api.kubectl("logs", "client", namespace=namespace) == "hello from server\n" * 2


def test_a_pod_reaches_the_api_server_and_nothing_outside_the_machine(api: Api, namespace: str) -> None:
    script = """
        nc -w 5 kubernetes.default.svc.cluster.local 443 </dev/null && echo reached
        wget -q -O - http://192.0.2.1/ 2>&1
    """
    await_phase(api, api.create(pod(namespace, "asks", script)), "Succeeded", "Failed")
    said = api.kubectl("logs", "asks", namespace=namespace)
    inside, _, outside = said.partition("\n")
    assert inside == "reached"
    assert "Network is unreachable" in outside or "No route to host" in outside


def test_a_job_completes(api: Api, namespace: str) -> None:
    template = {"spec": pod(namespace, "", "echo index $JOB_COMPLETION_INDEX")["spec"]}
    spec = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "template": template}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "pair", "namespace": namespace}, "spec": spec}
    api.create(job)
    eventually(lambda: api.get(address(job))["status"].get("succeeded") == 2, "the Job completes", POD_LIMIT_S)
    said = api.kubectl("logs", "--selector", "job-name=pair", namespace=namespace)
    assert sorted(said.splitlines()) == ["index 0", "index 1"]


def test_a_pod_that_takes_too_much_memory_is_seen_as_oom_killed(api: Api, namespace: str) -> None:
    made = api.create(pod(namespace, "eats", "exec tail /dev/zero", resources={"limits": {"memory": "32Mi"}}))
    end = end_of(await_phase(api, made, "Succeeded", "Failed"))
    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)


def test_a_pod_that_is_deleted_may_end_in_peace(api: Api, namespace: str) -> None:
    script = "trap 'echo saved >/dev/termination-log; exit 0' TERM; echo waits; while :; do sleep 0.1; done"
    made = api.create(pod(namespace, "saves", script))
    await_phase(api, made, "Running")
    eventually(lambda: "waits" in api.kubectl("logs", "saves", namespace=namespace), "it waits")
    api.patch(address(made), {"metadata": {"finalizers": ["evolution.test/look"]}})  # so that its end can be seen
    api.delete(address(made))
    end = end_of(await_phase(api, made, "Succeeded", "Failed"))
    assert (end["exitCode"], end["message"]) == (0, "saved\n")  # its log goes with its container, which is soon
    api.patch(address(made), {"metadata": {"finalizers": None}})


def test_an_image_that_is_not_there_and_a_pod_that_fits_nowhere_are_told(api: Api, namespace: str) -> None:
    absent = api.create(pod(namespace, "absent", "true", image="localhost/absent:test", imagePullPolicy="Never"))
    huge = api.create(pod(namespace, "huge", "true", resources={"requests": {"cpu": "1000"}}))

    def reason() -> str | None:
        statuses = api.get(address(absent))["status"].get("containerStatuses")
        return statuses[0]["state"].get("waiting", {}).get("reason") if statuses else None

    def scheduled() -> str | None:
        conditions = api.get(address(huge))["status"].get("conditions") or []
        return next((c["message"] for c in conditions if c["type"] == "PodScheduled"), None)

    eventually(lambda: reason() == "ErrImageNeverPull", "the absent image is told")
    eventually(lambda: "Insufficient cpu" in (scheduled() or ""), "the missing processors are told")
