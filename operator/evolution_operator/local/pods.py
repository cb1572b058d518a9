"""A pod as one process: environment, folders, log, termination message, and the object that the API server would show.

Called by the controllers, one for each kind of child. It starts nothing itself (`programs` does) and knows no stage.
"""

import os
import shutil
import signal
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from evolution_api.layout import ENV_PROPOSER_KEY, ENV_TERMINATION_LOG
from evolution_operator.local.devices import Devices
from evolution_operator.local.errors import RefusedError
from evolution_operator.local.folder import ENV_WORKDIR, RunFolder
from evolution_operator.local.programs import Process, Programs
from evolution_operator.manifests.pod import HOME

TERMINATION_MESSAGE_BYTES = 4096
FALLBACK_LOG_BYTES = 2048
"""Kubernetes' bounds of a termination message, and of the end of the log that stands in for a missing one."""
INJECTED = ("EVOLUTION_", "PET_", "JOB_COMPLETION_INDEX", "MASTER_", "WORLD_SIZE", "RANK", "LOCAL_RANK", "TORCHELASTIC_")
"""Variables that only a controller may set: those of the shell that started the loop do not reach a pod."""
HOST_MOUNTS = ("/dev/shm", HOME)  # noqa: S108
"""Where a mounted empty folder is the machine's own: shared memory, and the home with its caches of models."""


def timestamp(now: datetime) -> str:
    return now.isoformat().replace("+00:00", "Z")


def only(where: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises RefusedError for a field that a process cannot honour."""
    for name in given.keys() - set(known):
        raise RefusedError(f"{where}.{name} = {given[name]!r} cannot be honoured on one machine without a cluster; leave it out")


@dataclass
class Node:
    """What every pod of a run shares: its folders, the warm parent of its programs, the machine's devices."""

    folder: RunFolder
    workdir: Path
    programs: Programs
    devices: Devices
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)


@dataclass
class PodProcess:
    """`raw` is what the API server would show; `process` is None for one that an earlier start ran."""

    raw: dict[str, Any]
    process: Process | None = None
    devices: tuple[str, ...] = ()
    kill_at: datetime | None = None
    """End of the grace period, once the pod was told to go."""

    @property
    def name(self) -> str:
        return str(self.raw["metadata"]["name"])

    @property
    def phase(self) -> str:
        return str(self.raw["status"]["phase"])

    @property
    def finished(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def new_pod(
    name: str, template: Mapping[str, Any], owner: Mapping[str, Any], labels: Mapping[str, str], env: Mapping[str, str]
) -> PodProcess:
    """A pending pod of `owner` after `template`, with further labels and the variables that its controller injects."""
    spec = dict(template["spec"])
    (main,) = spec["containers"]
    only("container", main, CONTAINER_FIELDS)
    only("pod", spec, POD_FIELDS | {"restartPolicy"})
    spec["containers"] = [{**main, "env": [*main.get("env", ()), *({"name": k, "value": v} for k, v in env.items())]}]
    return PodProcess(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": owner["metadata"]["namespace"],
                "uid": str(uuid.uuid4()),
                "labels": {**template.get("metadata", {}).get("labels", {}), **labels},
                "ownerReferences": [
                    {
                        "apiVersion": owner["apiVersion"],
                        "kind": owner["kind"],
                        "name": owner["metadata"]["name"],
                        "uid": owner["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
            "spec": spec,
            "status": {"phase": "Pending"},
        }
    )


CONTAINER_FIELDS = frozenset(
    {
        "name",
        "image",  # the installed package is the image; the command line refuses another one
        "command",
        "args",
        "env",
        "resources",
        "volumeMounts",
        "ports",
        "readinessProbe",
        "terminationMessagePolicy",
        "securityContext",  # a promise about what the process may not do; it is the user's own process here
    }
)
POD_FIELDS = frozenset(
    {
        "automountServiceAccountToken",
        "containers",
        "securityContext",
        "shareProcessNamespace",
        "terminationGracePeriodSeconds",
        "volumes",
    }
)


def start(pod: PodProcess, node: Node, now: datetime, *, share: int) -> None:
    """Start the pod's program, unless the devices that it asks for are taken: then it stays pending, as on a full cluster.

    `share` is how many threads of work share the machine's cores while it runs.
    """
    (main,) = pod.raw["spec"]["containers"]
    devices = node.devices.take(main.get("resources", {}).get("limits", {}))
    if devices is None:
        return
    pod.devices = devices
    module, args = program_of(main)
    scratch = node.folder.scratch / pod.name
    shutil.rmtree(scratch, ignore_errors=True)
    env = environment(pod, node, scratch)
    threads = int(env.setdefault("OMP_NUM_THREADS", str(max(1, node.cores // share))))
    node.folder.logs.mkdir(parents=True, exist_ok=True)
    log = node.folder.logs / f"{pod.name}.log"
    pod.process = node.programs.start(module, args, env=env, cwd=scratch, log=log, threads=threads)
    pod.raw["status"]["startTime"] = timestamp(now)


def program_of(main: Mapping[str, Any]) -> tuple[str, list[str]]:
    match main["command"]:
        case ["python", "-m", module, *arguments]:
            return module, [*arguments, *main.get("args", ())]
        case other:
            raise RefusedError(f"container.command {other} is no `python -m <program>`, and nothing else is run without an image")


def environment(pod: PodProcess, node: Node, scratch: Path) -> dict[str, str]:
    """The user's own environment stands for the image's; what the manifest says is laid over it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(INJECTED) or name == ENV_PROPOSER_KEY}
    (main,) = pod.raw["spec"]["containers"]
    for variable in main["env"]:
        if "valueFrom" in variable:
            raise RefusedError(f"variable {variable['name']} comes from {variable['valueFrom']}, which only a cluster keeps")
        env[variable["name"]] = variable["value"]
    volumes = {volume["name"]: volume for volume in pod.raw["spec"].get("volumes", ())}
    for mount in main.get("volumeMounts", ()):
        if "emptyDir" not in volumes[mount["name"]]:
            raise RefusedError(f"volume {volumes[mount['name']]} is no empty folder, and there is nothing else to mount here")
        if mount["mountPath"] == "/tmp":  # noqa: S108
            env["TMPDIR"] = str(scratch / "tmp")
        elif mount["mountPath"] not in HOST_MOUNTS:
            raise RefusedError(f"volumeMount {mount['mountPath']}: a process cannot be given a folder at that path")
    if "TMPDIR" in env:
        (scratch / "tmp").mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    env |= node.devices.environment(pod.devices)
    return env | {ENV_TERMINATION_LOG: str(scratch / "termination"), ENV_WORKDIR: str(node.workdir)}


def settle(pod: PodProcess, node: Node, now: datetime) -> bool:
    """Write into the pod's status what became of its process; true if that changed it."""
    process = pod.process
    if process is None or pod.finished:
        return False
    status = pod.raw["status"]
    if process.exit is None:
        if pod.kill_at is not None and now >= pod.kill_at:
            node.programs.signal(process, signal.SIGKILL)
            pod.kill_at = None
        if process.pid is None or "running" in _container_state(pod):
            return False
        status |= {"phase": "Running", "startTime": timestamp(now)}
        status["containerStatuses"] = [_container_status(pod, {"running": {"startedAt": status["startTime"]}})]
        return True
    status["phase"] = "Failed" if process.exit else "Succeeded"
    terminated = {
        "exitCode": process.exit,
        "reason": "Error" if process.exit else "Completed",
        "message": termination_message(pod, node),
        "startedAt": status["startTime"],
        "finishedAt": timestamp(now),
    }
    status["containerStatuses"] = [_container_status(pod, {"terminated": terminated})]
    node.devices.give_back(pod.devices)
    shutil.rmtree(node.folder.scratch / pod.name, ignore_errors=True)
    return True


def _container_state(pod: PodProcess) -> dict[str, Any]:
    return dict(pod.raw["status"].get("containerStatuses", [{}])[0].get("state", {}))


def _container_status(pod: PodProcess, state: Mapping[str, Any]) -> dict[str, Any]:
    (main,) = pod.raw["spec"]["containers"]
    (before,) = pod.raw["status"].get("containerStatuses", [{"restartCount": 0}])
    return {**before, "name": main["name"], "ready": False, "state": state}


def termination_message(pod: PodProcess, node: Node) -> str:
    """The program's last words, or with FallbackToLogsOnError the end of the log of one that failed without any."""
    (main,) = pod.raw["spec"]["containers"]
    try:
        words = (node.folder.scratch / pod.name / "termination").read_bytes()[:TERMINATION_MESSAGE_BYTES]
    except FileNotFoundError:
        words = b""
    fall_back = main.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if not words and fall_back and pod.process is not None and pod.process.exit:
        log = node.folder.logs / f"{pod.name}.log"
        words = log.read_bytes()[-FALLBACK_LOG_BYTES:] if log.exists() else b""
    return words.decode(errors="replace")


def terminate(pod: PodProcess, node: Node, now: datetime) -> None:
    """SIGTERM now and SIGKILL after the pod's grace period; a second call changes nothing."""
    if pod.process is None or pod.process.exit is not None or pod.kill_at is not None:
        return
    pod.kill_at = now + timedelta(seconds=pod.raw["spec"].get("terminationGracePeriodSeconds", 30))
    node.programs.signal(pod.process, signal.SIGTERM)
