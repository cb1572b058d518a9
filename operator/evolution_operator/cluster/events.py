"""Tells people what happened to a run: a Kubernetes Event and a line in the log. Called by the reconciler."""

import hashlib
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.cluster.stored import said
from evolution_operator.interface import Event, KubeObject
from evolution_operator.manifests.pod import MANAGER

LONGEST_MESSAGE = 1024
"""Characters; the API server takes no more."""

log = logging.getLogger(__name__)


async def publish(api: Api, raw: KubeObject, events: Iterable[Event]) -> None:
    """Events about the run `raw`, one after another. One that is refused is only in the log: nothing is decided from events."""
    meta, here = raw["metadata"], where(raw)
    for index, event in enumerate(events):
        level = logging.INFO if event.type == "Normal" else logging.WARNING
        log.log(level, "%s", event.message, extra={"reason": event.reason, **here})
        told = f"{here}{event.reason}" if event.once else f"{meta['resourceVersion']}{index}"
        digest = hashlib.sha256(f"{meta['uid']}{told}".encode()).hexdigest()
        try:
            await api.create(_manifest(raw, event, digest))
        except ApiError as error:
            if not (event.once and error.reason == "AlreadyExists"):
                log.warning("%s", error, extra=here)


def where(raw: KubeObject) -> dict[str, object]:
    """The run and its place, as every line of the log names them."""
    meta = raw["metadata"]
    return {"namespace": meta["namespace"], "run": meta["name"], **place(raw)}


def place(raw: KubeObject) -> KubeObject:
    """Where the run is, as its status says."""
    return {field: said(raw, field) for field in ("round", "stage", "attempt")}


def _manifest(raw: KubeObject, event: Event, digest: str) -> KubeObject:
    meta, now = raw["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name'][:200].rstrip('-.')}.{digest[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": raw["apiVersion"],
            "kind": raw["kind"],
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message if len(event.message) <= LONGEST_MESSAGE else event.message[: LONGEST_MESSAGE - 3] + "...",
        "source": {"component": MANAGER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
