"""The machine that children run on, a pod as one process: environment, folders, log, termination message.

It starts nothing itself (`programs` does) and knows neither kinds of children nor stages.
"""

import http.client
import os
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from evolution_api.endings import LAST_WORDS_BYTES, LOG_BYTES_FOR_WORDS
from evolution_api.layout import ENV_PROPOSER_KEY, ENV_TERMINATION_LOG
from evolution_operator.children.onemachine import LOOPBACK, PodProcess, timestamp
from evolution_operator.errors import RefusedError
from evolution_operator.local.devices import Devices
from evolution_operator.local.folder import ENV_WORKDIR, RunFolder
from evolution_operator.local.programs import Programs
from evolution_operator.pod import HOME

TERMINATION = "termination"
"""Name of the file of a pod's last words, in its scratch folder."""
INJECTED = ("EVOLUTION_", "PET_", "JOB_COMPLETION_INDEX", "MASTER_", "WORLD_SIZE", "RANK", "LOCAL_RANK", "TORCHELASTIC_")
"""Variables that only a controller may set: those of the shell that started the loop do not reach a pod."""
HOST_MOUNTS = ("/dev/shm", HOME)  # noqa: S108
"""Where a mounted empty folder is the machine's own: shared memory, and the home with its caches of models."""


@dataclass
class Node:
    """What every pod of a run shares: its folders, the warm parent of its programs, the machine's devices."""

    folder: RunFolder
    workdir: Path
    programs: Programs
    devices: Devices
    cores: int = field(default_factory=lambda: os.cpu_count() or 1)

    def start(self, pod: PodProcess, now: datetime, *, share: int) -> None:
        (main,) = pod.raw["spec"]["containers"]
        devices = self.devices.take(main.get("resources", {}).get("limits", {}))
        if devices is None:
            return
        pod.devices = devices
        module, args = program_of(main)
        scratch = self.folder.scratch / pod.name
        shutil.rmtree(scratch, ignore_errors=True)
        env = environment(pod, self, scratch)
        threads = int(env.setdefault("OMP_NUM_THREADS", str(max(1, self.cores // share))))
        self.folder.logs.mkdir(parents=True, exist_ok=True)
        log = self.folder.logs / f"{pod.name}.log"
        pod.process = self.programs.start(module, args, env=env, cwd=scratch, log=log, threads=threads)
        pod.raw["status"]["startTime"] = timestamp(now)

    def settle(self, pod: PodProcess, now: datetime) -> bool:
        process = pod.process
        if process is None or pod.finished:
            return False
        status = pod.raw["status"]
        if process.exit is None:
            if pod.kill_at is not None and now >= pod.kill_at:
                self.programs.signal(process, signal.SIGKILL)
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
            "message": termination_message(pod, self),
            "startedAt": status["startTime"],
            "finishedAt": timestamp(now),
        }
        status["containerStatuses"] = [_container_status(pod, {"terminated": terminated})]
        self.devices.give_back(pod.devices)
        shutil.rmtree(self.folder.scratch / pod.name, ignore_errors=True)
        return True

    def terminate(self, pod: PodProcess, now: datetime) -> None:
        if pod.process is None or pod.process.exit is not None or pod.kill_at is not None:
            return
        pod.kill_at = now + timedelta(seconds=pod.raw["spec"].get("terminationGracePeriodSeconds", 30))
        self.programs.signal(pod.process, signal.SIGTERM)

    def free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            return int(probe.getsockname()[1])

    def answers(self, port: int, path: str, timeout_s: float) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            return 200 <= connection.getresponse().status < 300
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


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
    (scratch / TERMINATION).write_bytes(b" " * LAST_WORDS_BYTES)  # last words have room, however full the disk becomes
    env |= node.devices.environment(pod.devices)
    return env | {ENV_TERMINATION_LOG: str(scratch / TERMINATION), ENV_WORKDIR: str(node.workdir)}


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
        words = (node.folder.scratch / pod.name / TERMINATION).read_bytes()[:LAST_WORDS_BYTES].strip()
    except FileNotFoundError:
        words = b""
    fall_back = main.get("terminationMessagePolicy") == "FallbackToLogsOnError"
    if not words and fall_back and pod.process is not None and pod.process.exit:
        log = node.folder.logs / f"{pod.name}.log"
        words = log.read_bytes()[-LOG_BYTES_FOR_WORDS:] if log.exists() else b""
    return words.decode(errors="replace")
