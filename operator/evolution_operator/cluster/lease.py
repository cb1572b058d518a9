"""One replica works, the others wait: a coordination.k8s.io Lease. Called by `__main__`.

The lease saves work and keeps the events tidy; it is no lock. Two replicas at once make no double child, so a holder that
cannot renew (the API server is away) goes on, and stops only when it sees that another one has taken over.
"""

import asyncio
import logging
import time
from contextlib import suppress
from datetime import UTC, datetime

from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.interface import KubeObject

API_VERSION, KIND, NAME = "coordination.k8s.io/v1", "Lease", "evolution-operator"
DURATION_S = 15
"""A lease that was not renewed for so long is free."""
RENEW_S = 5
POLL_S = 2

log = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """Another replica has taken over."""


class Lease:
    def __init__(self, api: Api, namespace: str, identity: str) -> None:
        self._api = api
        self._namespace = namespace
        self._identity = identity
        self._seen: tuple[str, str] = ("", "")
        """Holder and time of renewal, as last read."""
        self._seen_at = 0.0
        """When that changed, by this machine's own clock: the other one's may be wrong."""
        self.trouble = "the lease was not asked for yet"
        """Why it could be neither had nor waited for at the last try; empty where it could."""

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        waiting_for = None
        while True:
            try:
                holder = await self._try()
                if holder is None:
                    return
                if holder != waiting_for:
                    waiting_for = holder
                    log.info("waiting: %s holds the lease %s/%s", holder, self._namespace, NAME)
            except ApiError as error:
                log.warning("%s; tried again in %s s", error, POLL_S)
            await asyncio.sleep(POLL_S)

    async def hold(self) -> None:
        """Renew for ever. Raises LeaseLostError."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                holder = await self._try()
            except ApiError as error:
                log.warning("%s; tried again in %s s", error, RENEW_S)
                continue
            if holder is not None:
                raise LeaseLostError(f"{holder} holds the lease now")

    async def release(self) -> None:
        """Let the next one start at once."""
        with suppress(ApiError):
            found = await self._read()
            if found is not None and found["spec"].get("holderIdentity") == self._identity:
                await self._api.replace({**found, "spec": {**found["spec"], "holderIdentity": ""}})

    async def _try(self) -> str | None:
        """Take or renew the lease; whose it is where it is not ours."""
        try:
            holder = await self._take()
        except ApiError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        return holder

    async def _take(self) -> str | None:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        ours = {"holderIdentity": self._identity, "leaseDurationSeconds": DURATION_S, "renewTime": now}
        found = await self._read()
        try:
            if found is None:
                meta = {"name": NAME, "namespace": self._namespace}
                manifest = {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": {**ours, "acquireTime": now}}
                await self._api.create(manifest)
                return None
            spec = found["spec"]
            holder = spec.get("holderIdentity") or ""
            if holder not in ("", self._identity) and not self._is_stale(holder, spec.get("renewTime") or ""):
                return str(holder)
            taken = {} if holder == self._identity else {"acquireTime": now}
            await self._api.replace({**found, "spec": {**spec, **ours, **taken}})
        except ApiError as error:
            if error.status != 409:
                raise
            return "another replica"
        return None

    def _is_stale(self, holder: str, renewed: str) -> bool:
        if (holder, renewed) != self._seen:
            self._seen, self._seen_at = (holder, renewed), time.monotonic()
        return time.monotonic() - self._seen_at > DURATION_S

    async def _read(self) -> KubeObject | None:
        try:
            return await self._api.get(API_VERSION, KIND, self._namespace, NAME)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
