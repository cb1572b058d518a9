"""Answers the kubelet's probes: /healthz while runs get their turn, /readyz once the API server answered; and Prometheus at
/metrics. Used by `__main__`."""

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from evolution_operator.cluster.api import Api
from evolution_operator.cluster.wakes import Wakes

LONGEST_LAG_S = 120.0
"""A run whose turn is overdue by more shows that the process hangs, and that a restart would help."""


class Health:
    def __init__(self, wakes: Wakes, api: Api) -> None:
        self._wakes = wakes
        self._api = api

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
        lag_s = self._wakes.lag_s()
        return web.Response(status=200 if lag_s <= LONGEST_LAG_S else 503, text=f"next run overdue by {lag_s:.1f} s\n")

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self._api.answered else 503, text=f"API server answered: {self._api.answered}\n")
