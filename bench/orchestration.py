"""How soon the next child is there when one has ended, what that costs, and how Argo Workflows does in the same place.

    python bench/orchestration.py [--parts one whole storm live finished] [--storms 100 500] [--live 1000] [--finished 500]

Starts a control plane (etcd, API server, controller manager without its Job controller) and completes children itself. A
latency runs from the sending of the PATCH that ends a child until the watch tells of the next one. Everything shares this
machine's cores: control plane, the one that is measured, and this script.
"""

import argparse
import asyncio
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from peers.argo import Argo  # noqa: E402
from peers.client import CONNECTIONS, Client, Object  # noqa: E402
from peers.ours import Ours  # noqa: E402
from tests.cluster.lab import UPSTREAM, at_work  # noqa: E402
from tests.testbed.api import Api, address, connected, install_definition  # noqa: E402
from tests.testbed.control_plane import ControlPlane  # noqa: E402
from tests.testbed.tools.binaries import binary, sources  # noqa: E402
from tests.testbed.tools.daemon import Daemon  # noqa: E402

from evolution_api.layout import API_VERSION, KIND  # noqa: E402
from evolution_operator.children.verdict import MISSING_AFTER_S  # noqa: E402

Peer = Ours | Argo

ADVANCES = 8
"""In a row: as many as a run makes from its preparation until the second round's server is up."""
ROUNDS = 4
"""The paper's."""
CHILDREN_OF_A_ROUND = 5
"""Generator, model server, probe, training, evaluation; before the first round come preparation and evaluation."""
RATE = 5.0
"""Completions a second."""
GROUP = 60
"""Of many live runs, those that move."""
PATIENCE_S = 60
POLL_S = 0.01
SETTLED_S = 1.3
"""News of pods are gathered for a second."""
QUIET_SHARE = 0.05
"""Of one core: a process that takes less has nothing more to do."""


class Field:
    """Units (runs or workflows) under way, of one peer in a namespace of its own."""

    def __init__(self, peer: Peer, client: Client) -> None:
        self.peer = peer
        self._client = client
        self._current: dict[str, Object] = {}
        self._next: dict[str, asyncio.Future[float]] = {}
        self._slots = asyncio.Semaphore(CONNECTIONS)

    def added(self, child: Object) -> None:
        unit = self.peer.unit_of(child)
        if unit is None:
            return
        self._current[unit] = child
        waiting = self._next.pop(unit, None)
        if waiting is not None:
            waiting.set_result(time.perf_counter())

    async def begin(self, units: Iterable[str]) -> None:
        """Returns when each has its first child."""
        awaited = {unit: self._soon(unit) for unit in units}

        async def one(unit: str) -> None:
            async with self._slots:
                await self.peer.begin(unit)
            await awaited[unit]

        await _all(one(unit) for unit in awaited)

    async def wait(self, unit: str) -> None:
        async with self._slots:
            await self.peer.wait(self._current[unit])

    async def ready(self, unit: str) -> None:
        async with self._slots:
            await self.peer.ready(self._current[unit])

    async def advance(self, unit: str) -> float:
        """End the child under way; seconds until the next one is heard of."""
        child, following = self._current[unit], self._soon(unit)
        async with self._slots:
            sent = time.perf_counter()
            await self.peer.end(child)
        try:
            return await asyncio.wait_for(following, PATIENCE_S) - sent
        except TimeoutError as error:
            log = self.peer.daemon.last_words()
            raise TimeoutError(f"nothing followed {child['metadata']['name']} in {PATIENCE_S} s; its log ends:\n{log}") from error

    async def end(self, unit: str) -> None:
        await self.peer.ready(self._current[unit])
        await self.peer.end(self._current[unit])

    def _soon(self, unit: str) -> asyncio.Future[float]:
        self._next[unit] = asyncio.get_running_loop().create_future()
        return self._next[unit]


async def _all(works: Iterable[object]) -> list[float]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]  # type: ignore[arg-type]
    return [task.result() for task in tasks]


class Measured:
    """What a process takes."""

    def __init__(self, daemon: Daemon) -> None:
        assert daemon.process is not None
        self._process = psutil.Process(daemon.process.pid)

    def cpu_s(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def resident_mib(self) -> float:
        return self._process.memory_info().rss / 2**20

    def peak_mib(self) -> float:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10

    async def quiet(self) -> None:
        """Wait until it has nothing more to do."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            before = self.cpu_s()
            await asyncio.sleep(SETTLED_S)
            if self.cpu_s() - before < SETTLED_S * QUIET_SHARE:
                return


@asynccontextmanager
async def at(client: Client, api: Api, peer: Peer) -> AsyncIterator[tuple[Field, Measured]]:
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": peer.namespace}})
    if isinstance(peer, Argo):
        meta = {"name": "workflow-controller-configmap", "namespace": peer.namespace}
        api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    await asyncio.sleep(1)  # its service account
    field = Field(peer, client)
    watching = [asyncio.create_task(client.watch(path, field.added)) for path in peer.watched]
    try:
        with at_work(peer.daemon):
            yield field, Measured(peer.daemon)
    finally:
        for task in watching:
            task.cancel()


def requests_of(peer: Peer) -> int:
    """That the operator has sent, by its own count."""
    lines = httpx.get(f"{peer.daemon.url}/metrics", trust_env=False).text.splitlines()
    counted = [line for line in lines if line.startswith("evolution_operator_api_requests_total") and "leases" not in line]
    return sum(int(float(line.split()[-1])) for line in counted)


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50, p95 and the largest, ms."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(statistics.median(ordered) * 1e3, 1),
        "p95_ms": round(ordered[max(0, round(0.95 * len(ordered)) - 1)] * 1e3, 1),
        "max_ms": round(ordered[-1] * 1e3, 1),
        "advances": len(ordered),
    }


class Bench:
    def __init__(self, client: Client, api: Api, kubeconfig: Path, folder: Path) -> None:
        self._client = client
        self._api = api
        self._of = kubeconfig, folder

    def ours(self, namespace: str, **spec: object) -> Ours:
        return Ours(self._client, namespace, *self._of, **spec)

    def argo(self, namespace: str) -> Argo:
        return Argo(self._client, namespace, *self._of)

    async def one(self, repeats: int) -> Object:
        """Runs that are alone, one after another."""
        taken: list[float] = []
        by_stage: dict[int, list[float]] = {}
        peer = self.ours("one")
        async with at(self._client, self._api, peer) as (field, measured):
            await measured.quiet()
            idle = measured.resident_mib()
            asked = 0
            for repeat in range(repeats):
                unit = f"one-{repeat}"
                await field.begin([unit])
                for number in range(ADVANCES):
                    await field.ready(unit)
                    await asyncio.sleep(SETTLED_S)
                    before = requests_of(peer)
                    seconds = await field.advance(unit)
                    taken.append(seconds)
                    by_stage.setdefault(number, []).append(seconds)
                    await asyncio.sleep(SETTLED_S)
                    asked += requests_of(peer) - before
        medians = [round(statistics.median(found) * 1e3, 1) for found in by_stage.values()]
        return {
            **quantiles(taken),
            "medians_by_advance_ms": medians,
            "requests_per_advance": asked / len(taken),
            "idle_mib": round(idle, 1),
        }

    async def whole(self, stage_s: float) -> Object:
        """A run of the paper's rounds, from its creation to its end, whose children take so long each."""
        peer, unit = self.ours("whole", rounds=ROUNDS), "whole"
        run = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": unit, "namespace": peer.namespace}}
        children = 2 + CHILDREN_OF_A_ROUND * ROUNDS
        async with at(self._client, self._api, peer) as (field, measured):
            await measured.quiet()
            started = time.perf_counter()
            await field.begin([unit])
            for _ in range(children - 1):
                await asyncio.sleep(stage_s)
                await field.ready(unit)
                await field.advance(unit)
            await asyncio.sleep(stage_s)
            await field.end(unit)
            while self._api.get(address(run))["status"]["phase"] != "Succeeded":
                await asyncio.sleep(POLL_S)
            lasted = time.perf_counter() - started
        overhead = lasted - children * stage_s
        return {
            "children": children,
            "seconds": round(lasted, 2),
            "overhead_s": round(overhead, 3),
            "overhead_share": round(overhead / lasted, 4),
        }

    async def live(self, count: int, seconds: float) -> Object:
        """Of many live runs a few advance, at times drawn as independent arrivals would come."""
        rng = random.Random(0)
        units = [f"live-{number}" for number in range(count)]
        async with at(self._client, self._api, self.ours("live")) as (field, measured):
            started = time.perf_counter()
            await field.begin(units)
            begun = time.perf_counter() - started
            await _all(field.wait(unit) for unit in units)
            # Then each is looked at once more: a thousand in a row, which were made at once.
            await asyncio.sleep(MISSING_AFTER_S)
            await measured.quiet()
            at_rest, peak, cpu = measured.resident_mib(), measured.peak_mib(), measured.cpu_s()

            async def arrive(unit: str, before: asyncio.Task[float] | None) -> float:
                if before is not None:
                    await before
                await field.ready(unit)
                return await field.advance(unit)

            last: dict[str, asyncio.Task[float]] = {}
            tasks = []
            started = time.perf_counter()
            due = 0.0
            async with asyncio.TaskGroup() as group:
                for number in range(min(round(seconds * RATE), ADVANCES * min(GROUP, count))):
                    due += rng.expovariate(RATE)
                    await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
                    unit = units[number % GROUP]
                    last[unit] = group.create_task(arrive(unit, last.get(unit)))
                    tasks.append(last[unit])
            lasted = time.perf_counter() - started
            return {
                **quantiles([task.result() for task in tasks]),
                "live": count,
                "begun_s": round(begun, 1),
                "rate": round(len(tasks) / lasted, 2),
                "resident_mib": round(at_rest, 1),
                "peak_mib": round(peak, 1),
                "cpu_share": round((measured.cpu_s() - cpu) / lasted, 2),
            }

    async def storm(self, peer: Peer, count: int, advances: int) -> Object:
        """The children of all end at once, again and again."""
        units = [f"storm-{number}" for number in range(count)]
        taken: list[float] = []
        async with at(self._client, self._api, peer) as (field, measured):
            await field.begin(units)
            asked = 0
            cpu = 0.0
            for _ in range(advances):
                await _all(field.ready(unit) for unit in units)
                await measured.quiet()
                before, worked = requests_of(peer) if isinstance(peer, Ours) else 0, measured.cpu_s()
                taken += await _all(field.advance(unit) for unit in units)
                await measured.quiet()
                asked += (requests_of(peer) if isinstance(peer, Ours) else 0) - before
                cpu += measured.cpu_s() - worked
            return {
                **quantiles(taken),
                "cpu_ms_per_advance": round(cpu / len(taken) * 1e3, 1),
                "requests_per_advance": round(asked / len(taken), 1),
                "peak_mib": round(measured.peak_mib(), 1),
            }

    async def finished(self, count: int, at_once: int = 20) -> Object:
        """Runs that end, and stay."""
        memory: list[tuple[int, float]] = []
        peer = self.ours("finished", rounds=1, difficulty={"signal": "training"})
        advances = 4  # prepare, evaluate, generate, train, evaluate
        done = 0
        async with at(self._client, self._api, peer) as (field, measured):
            waiting = iter(range(count))

            async def one_after_another() -> None:
                nonlocal done
                for number in waiting:
                    unit = f"f-{number}"
                    await field.begin([unit])
                    for _ in range(advances):
                        await field.ready(unit)
                        await field.advance(unit)
                    await field.end(unit)
                    done += 1
                    if done % max(1, count // 10) == 0:
                        memory.append((done, round(measured.resident_mib(), 1)))

            await _all(one_after_another() for _ in range(at_once))
            await measured.quiet()
            return {"finished": done, "resident_mib": memory, "at_rest_mib": round(measured.resident_mib(), 1)}


def install(api: Api) -> None:
    files = [*sorted((ROOT / "crds").glob("*.yaml"))]
    files += sorted((sources("argo-workflow-controller") / "manifests" / "base" / "crds" / "minimal").glob("argoproj*.yaml"))
    for definition in (*(yaml.safe_load(file.read_text()) for file in files), *UPSTREAM):
        install_definition(api, definition)


async def measured(options: argparse.Namespace, bench: Bench) -> dict[str, Object]:
    results: dict[str, Object] = {}

    async def take(name: str, part: Awaitable[Object]) -> None:
        started = time.monotonic()
        results[name] = {**await part, "took_s": round(time.monotonic() - started)}
        if not options.json:
            print(name, *(f"    {key:24} {value}" for key, value in results[name].items()), sep="\n", flush=True)

    if "one" in options.parts:
        await take("one run", bench.one(options.repeats))
    if "whole" in options.parts:
        await take("whole run", bench.whole(options.stage_seconds))
    for count in options.storms if "storm" in options.parts else ():
        await take(f"storm of {count}, ours", bench.storm(bench.ours(f"storm-{count}"), count, options.advances))
        await take(f"storm of {count}, Argo Workflows", bench.storm(bench.argo(f"argo-{count}"), count, options.advances))
    if "live" in options.parts:
        await take("many live", bench.live(options.live, options.seconds))
    if "finished" in options.parts:
        await take("many finished", bench.finished(options.finished))
    return results


async def on(options: argparse.Namespace, api: Api, plane: ControlPlane, folder: Path) -> dict[str, Object]:
    async with Client(plane.kubeconfig) as client:
        return await measured(options, Bench(client, api, plane.kubeconfig, folder))


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["one", "whole", "storm", "live", "finished"])
    parser.add_argument("--repeats", type=int, default=3, help="runs that are alone")
    parser.add_argument("--stage-seconds", type=float, default=5, help="that each child of the whole run takes")
    parser.add_argument("--storms", nargs="+", type=int, default=[100, 500], help="runs in each storm")
    parser.add_argument("--advances", type=int, default=ADVANCES, help="of each run in a storm")
    parser.add_argument("--live", type=int, default=1000, help="live runs")
    parser.add_argument("--seconds", type=float, default=60, help="for which completions arrive")
    parser.add_argument("--finished", type=int, default=500, help="runs that are brought to their end")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "plane").mkdir()
        plane = ControlPlane(folder / "plane", binary)
        plane.controller_manager.command.append("--controllers=*,-job-controller")
        try:
            plane.start()
            with connected(plane.kubeconfig, binary("kubectl"), folder / "kubectl") as api:
                install(api)
                results = asyncio.run(on(options, api, plane, folder))
        finally:
            plane.stop()
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
