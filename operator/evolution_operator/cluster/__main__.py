"""The operator, as its image runs it. Ends on SIGTERM, and when it lost its lease.

    python -m evolution_operator.cluster --namespace lab --jobs-image registry/jobs:1 --model-image registry/train:1

In a pod it uses the pod's service account, elsewhere the kubeconfig (KUBECONFIG). Replicas tell each other apart by POD_NAME.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any

import kopf
import uvloop

from evolution_operator.cluster.api import Api, login
from evolution_operator.cluster.handlers import NothingRemembered, registry, settings
from evolution_operator.cluster.health import Health
from evolution_operator.cluster.lease import Lease, LeaseLostError
from evolution_operator.cluster.logs import configure
from evolution_operator.cluster.reconciler import Reconciler
from evolution_operator.cluster.workqueue import WorkQueue
from evolution_operator.interface import PodExtras, Settings

log = logging.getLogger("evolution_operator.cluster")


def arguments() -> argparse.Namespace:
    built_in = Settings()
    parser = argparse.ArgumentParser(prog="python -m evolution_operator.cluster", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--namespace", action="append", default=[], help="serve only this namespace (repeatable); all without")
    parser.add_argument("--lease-namespace", help="where the lease of the working replica is kept; the operator's own without")
    parser.add_argument("--jobs-image", default=built_in.jobs_image, help="image of the programs without a model")
    parser.add_argument("--model-image", default=built_in.model_image, help="image of the programs with a model")
    parser.add_argument("--deployment-mode", default=built_in.deployment_mode, help="KServe's name for plain Deployments")
    parser.add_argument(
        "--pods",
        type=pod_extras,
        default=built_in.pods,
        help="JSON: env, volumes and volumeMounts that every pod of every run gets besides its own, as Kubernetes has them",
    )
    parser.add_argument("--health-port", type=int, default=8080, help="port of /healthz and /readyz")
    parser.add_argument("--resync-seconds", type=float, default=120, help="between two looks at a live run that nothing woke")
    return parser.parse_args()


def pod_extras(text: str) -> PodExtras:
    try:
        given = json.loads(text)
        return PodExtras(*(tuple(given[what]) for what in ("env", "volumes", "volumeMounts")))
    except (ValueError, KeyError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{error!r}: not a JSON object with the lists env, volumes and volumeMounts") from error


async def operate(options: argparse.Namespace) -> None:
    """Wait for the lease, then work until a signal comes or one of the parts ends."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    workqueue = WorkQueue()
    async with Api() as api:
        identity = os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"
        lease = Lease(api, options.lease_namespace or api.namespace, identity)
        served = options.namespace or [""]  # all, as the API's paths have it
        answering = await Health(workqueue, api, lease, served).serve(options.health_port)
        try:
            await first_of(stop.wait(), lease.acquire())
            if stop.is_set():
                return
            log.info("working as %s", identity)
            chosen = Settings(options.jobs_image, options.model_image, options.deployment_mode, options.pods)
            reconciler = Reconciler(api, workqueue, chosen, options.resync_seconds, served)
            watching = kopf.operator(
                registry=registry(workqueue, reconciler, login),
                settings=settings(namespaced=bool(options.namespace)),
                clusterwide=not options.namespace,
                namespaces=options.namespace,
                memories=NothingRemembered(),
            )
            try:
                # From here on it is Kopf that hears the signals, and ends.
                await first_of(watching, reconciler.work(), lease.hold())
            finally:
                await lease.release()
        finally:
            await answering.cleanup()


async def first_of(*parts: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first one ends, then end the others; an error of any is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome


def main() -> int:
    options = arguments()
    configure()
    # What was imported stays, and what a look reads soon goes: the usual search for cycles is a tenth of the work.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        uvloop.run(operate(options))
    except (LeaseLostError, kopf.LoginError) as error:
        log.error("stopping: %s", error)
        return 1
    except Exception:
        log.exception("stopping: a part of the operator failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
