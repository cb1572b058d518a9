"""Answers the kubelet's probes: /healthz while runs get their turn, /readyz while the API server lets the operator do its work;
and Prometheus at /metrics. Used by `__main__`."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from evolution_api.layout import API_VERSION, KIND
from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.cluster.lease import Lease
from evolution_operator.cluster.workqueue import WorkQueue

LONGEST_LAG_S = 120.0
"""A run whose turn is overdue by more shows that the process hangs, and that a restart would help."""


class Health:
    def __init__(self, workqueue: WorkQueue, api: Api, lease: Lease, namespaces: Sequence[str]) -> None:
        self._workqueue = workqueue
        self._api = api
        self._lease = lease
        self._namespaces = namespaces

    async def serve(self, port: int) -> web.AppRunner:
        """Start answering, on all addresses: the kubelet asks from outside. The caller cleans the runner up."""
        app = web.Application()
        app.router.add_get("/healthz", self._alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", make_aiohttp_handler())
        runner = web.AppRunner(app, handle_signals=False, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, None, port).start()
        return runner

    async def _alive(self, _: web.Request) -> web.Response:
        lag_s = self._workqueue.lag_s()
        return web.Response(status=200 if lag_s <= LONGEST_LAG_S else 503, text=f"next run overdue by {lag_s:.1f} s\n")

    async def _ready(self, _: web.Request) -> web.Response:
        """Asked of the API server now, which a replica that waits for the lease can do too."""
        try:
            lists = (self._api.list_known(API_VERSION, KIND, namespace, limit="1") for namespace in self._namespaces)
            await asyncio.gather(*lists)
        except ApiError as error:
            return web.Response(status=503, text=f"{error}\n")
        trouble = self._lease.trouble
        return web.Response(status=503 if trouble else 200, text=f"{trouble or 'runs and the lease can be read'}\n")
