"""One pod of the training job: starts torchrun's own agent, which starts this pod's processes and ends all when one fails.

Called by `python -m evolution_jobs.train`. Reads the variables that the Kubeflow training operator injects (PET_*, MASTER_*).
On CPUs the processes are forks, so that the heavy modules are imported once a pod; a process that is to use CUDA must not be
forked from one that may have touched it, so there they are spawned. It knows nothing of models or data.
"""

import importlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evolution_api.endings import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_TERMINATED, LastWords
from evolution_api.jobs import StageInput
from evolution_api.summaries import TrainSummary
from evolution_jobs.program import (
    BadInputError,
    TerminatedError,
    log,
    once,
    start_logging,
    write_in_place,
    write_last_words,
)
from evolution_jobs.train import checkpoint
from evolution_storage.store import CorruptError, Store

SAVING_S = 120
"""Longest time that a process may take between SIGTERM and its end; a checkpoint is saved in it. Kubernetes' own grace period
(terminationGracePeriodSeconds) must be longer."""
STARTED = ".started"
"""Ending of the file that a process makes when it starts, named by its rank."""
WORDS_CHARACTERS = 1000
"""What is kept of a process's error, as much as the planner tells."""
WORDS_BYTES = 8192
"""Room that so many characters need at most in JSON, beside their frame."""
RENDEZVOUS_S = 900
"""Longest wait for the other pods, which may still be pulling images."""


class FailedProcessError(Exception):
    """A training process failed for a reason that another attempt may mend."""


@dataclass(frozen=True)
class PodRank:
    """This pod's place in the training job."""

    nodes: int
    node: int
    processes: int
    """Processes in this pod."""
    address: str
    port: int

    @staticmethod
    def from_environment(job: StageInput, environ: Mapping[str, str] = os.environ) -> "PodRank":
        """Raises BadInputError where the variables contradict the spec, by which states and batches are split."""
        training = job.spec.training
        nodes = int(environ.get("PET_NNODES", "1"))
        processes = int(environ.get("PET_NPROC_PER_NODE", "1"))
        if (nodes, processes) != (training.nodes, training.processes_per_node):
            raise BadInputError(
                f"PET_NNODES={nodes} and PET_NPROC_PER_NODE={processes}, but the spec says training.nodes {training.nodes} and "
                f"training.processesPerNode {training.processes_per_node}; start the program with the spec's numbers"
            )
        address = environ.get("PET_MASTER_ADDR") or environ.get("MASTER_ADDR") or "127.0.0.1"
        port = int(environ.get("PET_MASTER_PORT") or environ.get("MASTER_PORT") or "29500")
        return PodRank(nodes, int(environ.get("PET_NODE_RANK", "0")), processes, address, port)


def launch(job: StageInput, _: Store, __: int | None) -> TrainSummary:
    """Train, and return the round's summary, the same in every pod."""
    pod = PodRank.from_environment(job)
    forked = job.spec.scheduling.accelerator == "none"
    if forked:
        os.environ["DS_ACCELERATOR"] = "cpu"
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # torchrun's agent would ask CUDA, which the forks then cannot
        importlib.import_module("evolution_jobs.train.loop")

    # By its variable: as an argument of LaunchConfig, PyTorch 2.11 refuses it (and gives processes 30 s).
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(SAVING_S)

    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="evolution-train-") as folder:
        config = LaunchConfig(
            min_nodes=pod.nodes,
            max_nodes=pod.nodes,
            nproc_per_node=pod.processes,
            run_id=f"{job.uid}-{job.round}-{job.attempt}",
            rdzv_backend="static",
            rdzv_endpoint=f"{pod.address}:{pod.port}",
            rdzv_configs={"rank": pod.node, "timeout": RENDEZVOUS_S},
            local_addr=pod.address if pod.nodes == 1 else None,
            max_restarts=0,
            start_method="fork" if forked else "spawn",
        )
        ranks = range(pod.node * pod.processes, (pod.node + 1) * pod.processes)
        for rank in ranks:
            reserve_words(folder, rank)
        end_on_sigterm_until_started(Path(folder))
        if pod.nodes > 1:
            log.info("pod %d of %d waits for the others at %s:%d", pod.node + 1, pod.nodes, pod.address, pod.port)
        try:
            summaries = elastic_launch(config, process)(job.model_dump_json(), folder)
        except SignalException as received:
            raise TerminatedError from received
        except ChildFailedError as failed:
            raise cause(failed, Path(folder), ranks) from None
    return TrainSummary.model_validate_json(next(iter(summaries.values())))


def let_go(store: Store, job: StageInput) -> None:
    """Of what a round keeps while it is trained."""
    if PodRank.from_environment(job).node == 0:
        checkpoint.drop_partials(store, job)


main = once(launch, afterwards=let_go)


def end_on_sigterm_until_started(folder: Path) -> None:
    """SIGTERM ends this pod at once while none of its processes has started: what it waits for are other pods, which may be gone.

    Python's own handlers never run while the main thread waits for them, but the wakeup descriptor is written at once.
    """
    told, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)

    def wait() -> None:
        while signal.SIGTERM not in os.read(told, 1):
            pass
        if not any(folder.glob(f"*{STARTED}")):
            write_last_words(LastWords(error="terminated by SIGTERM"))
            os._exit(EXIT_TERMINATED)

    threading.Thread(target=wait, name="rendezvous", daemon=True).start()


def process(job_json: str, folder: str) -> str:
    """One training process, started by the agent with RANK, LOCAL_RANK, WORLD_SIZE and the store's address in its environment.

    Returns the TrainSummary as JSON. What ends it otherwise stands in `folder`/<rank>.json, and in its exit code.
    """
    rank = int(os.environ["RANK"])
    Path(folder, f"{rank}{STARTED}").touch()
    over = threading.Event()
    terminated = watch_for_sigterm(over, folder)
    job = StageInput.model_validate_json(job_json)
    start_logging(run=job.run, round=job.round, stage=job.stage, attempt=job.attempt, rank=rank)
    try:
        from evolution_jobs.train.loop import train

        summary = train(job, terminated)
    except TerminatedError:
        log.warning("terminated by SIGTERM; what was done is saved")
        code, error = EXIT_TERMINATED, "terminated by SIGTERM"
    except (BadInputError, CorruptError) as refused:
        log.error("%s", refused)
        code, error = EXIT_BAD_INPUT, str(refused)
    except Exception as failed:
        log.exception("process %d failed", rank)
        code, error = EXIT_FAILED, f"{type(failed).__name__}: {failed}"
    else:
        over.set()
        leave_words(folder, rank, 0, "")
        return summary.model_dump_json()
    leave_words(folder, rank, code, error)
    sys.stdout.flush()
    # Not sys.exit: the libraries' own clean-up waits for peers that are gone or going.
    os._exit(code)


def watch_for_sigterm(over: threading.Event, folder: str) -> threading.Event:
    """An event that SIGTERM sets; the process is ended once its work is `over`, or after SAVING_S.

    A thread waits for the signal, since Python's own handlers never run while the main thread waits for a dead peer.
    """
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher's handler came along with the fork
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def wait() -> None:
        signal.sigwait({signal.SIGTERM})
        terminated.set()
        over.wait(SAVING_S)
        leave_words(folder, int(os.environ["RANK"]), EXIT_TERMINATED, "terminated by SIGTERM")
        os._exit(EXIT_TERMINATED)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()
    return terminated


def reserve_words(folder: str, rank: int) -> None:
    """Room for what a process says at its end, which may be that the disk is full."""
    Path(folder, f"{rank}.json").write_bytes(b" " * WORDS_BYTES)


def leave_words(folder: str, rank: int, code: int, error: str) -> None:
    words = {"at": time.monotonic(), "code": code, "error": error[:WORDS_CHARACTERS]}
    write_in_place(Path(folder, f"{rank}.json"), json.dumps(words, ensure_ascii=False))


def cause(failed: Exception, folder: Path, ranks: range) -> BaseException:
    """What to say of a failure: who was killed, or else who spoke first; the others fail only for want of that one.

    The agent reports the process whose end it sees first, which need not be the one that died first. But every process of
    this pod leaves words, unless it was killed.
    """
    words = {rank: Path(folder, f"{rank}.json").read_text().strip() for rank in ranks}
    spoken = {rank: json.loads(text) for rank, text in words.items() if text}
    silent = [rank for rank in ranks if rank not in spoken]
    if silent:
        codes = {rank: failure.exitcode for rank, failure in getattr(failed, "failures", {}).items()}
        rank = min(silent, key=lambda r: codes.get(r, 0))
        code = codes.get(rank, -signal.SIGKILL)
        if code >= 0:
            return FailedProcessError(f"training process {rank} ended with exit code {code} and left no words; see its log")
        hint = " (out of memory, most likely)" if code == -signal.SIGKILL else ""
        return FailedProcessError(f"training process {rank} was killed by {signal.Signals(-code).name}{hint}")
    rank, first = min(((r, words) for r, words in spoken.items() if words["code"]), key=lambda said: said[1]["at"])
    if first["code"] == EXIT_TERMINATED:
        return TerminatedError()
    if first["code"] == EXIT_BAD_INPUT:
        return BadInputError(first["error"])
    return FailedProcessError(f"training process {rank}: {first['error']}")
