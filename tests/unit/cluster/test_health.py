"""What the kubelet is told over HTTP: whether a restart would help, and whether the operator can do its work."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import kopf
import pytest
from aiohttp import web

from evolution_operator.cluster.api import Api
from evolution_operator.cluster.health import LONGEST_LAG_S, Health
from evolution_operator.cluster.lease import Lease
from evolution_operator.cluster.workqueue import Key, WorkQueue

RUNS = "/apis/evolution.spatial.io/v1alpha1/namespaces/{}/evolutionruns"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/operators/leases/evolution-operator"
OTHERS_LEASE = {"metadata": {}, "spec": {"holderIdentity": "another", "renewTime": "now"}}
Said = tuple[int, str]


async def started(app: web.Application) -> tuple[web.AppRunner, str]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


def told(refused: dict[str, int], story: Callable[[Callable[[str], Awaitable[Said]], WorkQueue, Any], Awaitable[None]]) -> None:
    """Run `story` with what it asks the operator by, the operator's queue, and the API server, which refuses these paths."""

    async def answer(request: web.Request) -> web.Response:
        if request.path in refused:
            return web.json_response({"message": f"no right on {request.path}"}, status=refused[request.path])
        found = OTHERS_LEASE if request.path == LEASES else {"metadata": {"resourceVersion": "1"}, "items": []}
        return web.json_response(found)

    async def whole() -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        server, url = await started(app)
        async with Api(lambda: kopf.ConnectionInfo(server=url, token="t")) as api, aiohttp.ClientSession() as session:
            workqueue, lease = WorkQueue(), Lease(api, "operators", "me")
            health = await Health(workqueue, api, lease, ["a", "b"]).serve(0)
            port = next(address[1] for address in health.addresses if len(address) == 2)  # of IPv4

            async def ask(path: str) -> Said:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    return response.status, await response.text()

            waiting = asyncio.create_task(lease.acquire())
            try:
                await story(ask, workqueue, server)
            finally:
                waiting.cancel()
                await health.cleanup()
                await server.cleanup()

    asyncio.run(whole())


@pytest.mark.parametrize(("overdue_s", "expected"), [(LONGEST_LAG_S - 1, 200), (LONGEST_LAG_S + 1, 503)])
def test_it_is_alive_unless_a_runs_turn_is_long_overdue(overdue_s: float, expected: int) -> None:
    async def story(ask: Callable[[str], Awaitable[Said]], workqueue: WorkQueue, _: Any) -> None:
        assert (await ask("/healthz"))[0] == 200
        workqueue.wake(Key("a", "x"), within_s=-overdue_s)
        assert (await ask("/healthz"))[0] == expected

    told({}, story)


def test_it_is_ready_while_it_waits_for_the_lease_and_not_when_the_api_server_goes() -> None:
    async def story(ask: Callable[[str], Awaitable[Said]], _: WorkQueue, server: web.AppRunner) -> None:
        while (await ask("/readyz"))[1] == "the lease was not asked for yet\n":
            await asyncio.sleep(0.01)
        assert (await ask("/readyz"))[0] == 200
        await server.cleanup()
        code, words = await ask("/readyz")
        assert code == 503
        assert "the API server does not answer" in words
        assert (await ask("/healthz"))[0] == 200

    told({}, story)


@pytest.mark.parametrize("code", [401, 403, 500])
@pytest.mark.parametrize("path", [RUNS.format("b"), LEASES])
def test_it_is_not_ready_while_it_is_refused_what_it_needs(path: str, code: int) -> None:
    async def story(ask: Callable[[str], Awaitable[Said]], _: WorkQueue, __: Any) -> None:
        while (await ask("/readyz"))[1] == "the lease was not asked for yet\n":
            await asyncio.sleep(0.01)
        answer = await ask("/readyz")
        assert answer[0] == 503
        assert f"no right on {path}" in answer[1]

    told({path: code}, story)
