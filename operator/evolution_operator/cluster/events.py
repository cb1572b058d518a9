"""Tells people what happened to a run: a Kubernetes Event and a line in the log. Called by the reconciler."""

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.cluster.stored_status import said
from evolution_operator.interface import Event, KubeObject
from evolution_operator.pod import MANAGER

LONGEST_MESSAGE = 1024
"""Characters; the API server takes no more."""
AT_ONCE = 4
"""Requests: by one after another a busy operator tells less than happens."""
ENOUGH = 1000
"""Decisions that wait for each of them; a run that has more to tell is not looked at again before it could."""
LAST_WORDS_S = 2.0
"""For the events that are not published yet when the operator stops."""

log = logging.getLogger(__name__)


class Events:
    """What is still to be told, each run's events in their order; the caller waits only where more than enough is waiting."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._queues: list[asyncio.Queue[tuple[KubeObject, Sequence[Event]]]] = [asyncio.Queue(ENOUGH) for _ in range(AT_ONCE)]

    async def tell(self, raw: KubeObject, *events: Event) -> None:
        """Of the run `raw`."""
        if events:
            queue = self._queues[hash(raw["metadata"]["uid"]) % AT_ONCE]
            await queue.put((_as_named(raw), events))

    async def publish(self) -> None:
        """For ever; when the operator stops, those left."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(self._work_off(queue))

    async def _work_off(self, queue: asyncio.Queue[tuple[KubeObject, Sequence[Event]]]) -> None:
        under_way = None
        try:
            while True:
                told = await queue.get()
                under_way = asyncio.create_task(_publish(self._api, *told))
                await asyncio.shield(under_way)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    if under_way is not None:
                        await under_way
                    while not queue.empty():
                        await _publish(self._api, *queue.get_nowait())


async def _publish(api: Api, raw: KubeObject, events: Iterable[Event]) -> None:
    """One after another. One that is refused is only in the log: nothing is decided from events."""
    meta, here = raw["metadata"], where(raw)
    for index, event in enumerate(events):
        level = logging.INFO if event.type == "Normal" else logging.WARNING
        log.log(level, "%s", event.message, extra={"reason": event.reason, **here})
        if event.once:
            suffix = hashlib.sha256(f"{meta['uid']}{here}{event.reason}".encode()).hexdigest()[:16]
        else:  # kubectl shows events of one second in the order of their names
            suffix = f"{int(meta['resourceVersion']):014x}{index:02x}"
        try:
            await api.create(_manifest(raw, event, suffix))
        except ApiError as error:
            if not (event.once and error.reason == "AlreadyExists"):
                log.warning("%s", error, extra=here)


def where(raw: KubeObject) -> dict[str, object]:
    """The run and its place, as every line of the log names them."""
    meta = raw["metadata"]
    return {"namespace": meta["namespace"], "run": meta["name"], **_place(raw)}


def _as_named(raw: KubeObject) -> KubeObject:
    """As much of a run as events and the log say of it: in a storm hundreds wait to be published."""
    kept = {field: raw["metadata"][field] for field in ("namespace", "name", "uid", "resourceVersion")}
    return {"apiVersion": raw["apiVersion"], "kind": raw["kind"], "metadata": kept, "status": _place(raw)}


def _place(raw: KubeObject) -> KubeObject:
    return {field: said(raw, field) for field in ("round", "stage", "attempt")}


def _manifest(raw: KubeObject, event: Event, suffix: str) -> KubeObject:
    meta, now = raw["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name'][:200].rstrip('-.')}.{suffix}", "namespace": meta["namespace"]},
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
