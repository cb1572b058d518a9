"""Stands between the operator and the API server, writes down what is asked, and does harm when told to.

It speaks plain HTTP on the loopback interface and passes everything on with the credentials of a kubeconfig; `kubeconfig()`
makes one that leads here. Harm is done to the adapter's own requests, about runs and their children, and to what Kopf's watches
tell of them: never to the lease, nor to lists of all runs, by which readiness is told. While the API server is away, connections
are reset. Used by the operator's tests.

Whose an object is can be read off its name here, for runs under faults have names without a dash or a dot.
"""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web
from tests.testbed.api import Object
from tests.testbed.tools.daemon import LOOPBACK

from evolution_api.layout import KIND, LABEL_ROLE, LABEL_ROUND, LABEL_RUN, LABEL_STAGE
from evolution_operator.cluster.api import USER_AGENT
from evolution_operator.cluster.api import Api as Client

PASSED_ON = ("Accept", "Content-Type")


class Cut(Exception):  # noqa: N818 - it is wanted
    """Raised by a hook: the connection is reset instead of what would come next on it."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    name: str
    """Of the object; for a list, of the run whose objects are asked for, or nothing where it is not of one run."""
    status: int = 0
    """The API server's answer; 0 as long as there is none."""

    @property
    def kind(self) -> str:
        """Plural of what is asked about: jobs, pods, evolutionruns ..."""
        return self.path.split("/namespaces/")[1].split("/")[1]

    @property
    def run(self) -> str:
        return re.split("[-.]", self.name)[0]


@dataclass(frozen=True)
class News:
    """An event of a watch about a run, or about a child or a pod of it."""

    type: str
    kind: str
    run: str
    of: tuple[str, ...]
    """Round, stage and role of what it is about; empty for the run itself."""


@dataclass
class Proxy:
    upstream: Client
    """Whose server and login are used."""
    requests: list[Request] = field(default_factory=list)
    """What the API server has answered the adapter, in order."""
    news: list[News] = field(default_factory=list)
    """What the watches had to tell, in order."""
    lost: Callable[[News], bool] = lambda news: False
    """Of what the watches tell, what is kept from the operator."""
    late: Callable[[Request], bool] = lambda request: False
    """Of what every new state is shown one read late: the first read gets it as it was one version before."""
    shown_late: set[tuple[str, str]] = field(default_factory=set)
    """(run, kind) of which an answer was out of date."""
    outlived: set[tuple[str, str]] = field(default_factory=set)
    """(run, kind) of which the last object was still shown after it had gone."""
    before: Callable[[Request], web.Response | None] = lambda request: None
    """Asked before a request is passed on; what it returns is answered instead."""
    after: Callable[[Request], None] = lambda request: None
    """Called when the API server has answered, before the operator hears of it."""
    slow_s: Callable[[Request], float] = lambda request: 0.0
    """How long the answer is then held back."""
    _shown: dict[tuple[str, str], tuple[int, frozenset[str], int]] = field(default_factory=dict)
    """Of what was read last, by path and name: version of the newest object, which objects there are, version of the answer."""

    def __enter__(self) -> Self:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()

    def kubeconfig(self, folder: Path) -> Path:
        file = folder / "proxy.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://{LOOPBACK}:{self._port}"}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy", "namespace": "default"}}],
            "current-context": "proxy",
        }
        file.write_text(json.dumps(document))
        return file

    def created(self) -> list[tuple[str, str]]:
        """(plural, name) of every child that was really made."""
        made = [r for r in self.requests if r.method == "POST" and r.status == 201 and r.kind != "events"]
        return [(request.kind, request.name) for request in made]

    async def _serve(self, started: threading.Event) -> None:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self.upstream.tls), timeout=timeout
        ) as session:
            self._session = session
            await runner.setup()
            site = web.TCPSite(runner, LOOPBACK, 0)
            await site.start()
            self._port = runner.addresses[0][1]
            started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.query.get("watch") == "true":
                return await self._stream(request)
            of_health = "/leases" in request.path or request.path.endswith("/evolutionruns")
            of_adapter = request.headers["User-Agent"] == USER_AGENT and not of_health
            # Carried through and written down even if the operator dies over it.
            return await asyncio.shield(self._harm(request) if of_adapter else self._pass_on(request))
        except (Cut, aiohttp.ClientError):
            _reset(request)
            return web.Response()

    async def _pass_on(self, request: web.Request) -> web.Response:
        async with self._upstream(request, request.path_qs, await request.read()) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    async def _harm(self, request: web.Request) -> web.Response:
        """What lists the objects of several runs counts as a request for each of them."""
        asked = [Request(request.method, request.path, name) for name in await _names(request)]
        for one in asked:
            instead = self.before(one)
            if instead is not None:
                return instead
        answer = await self._pass_on(request)
        done = [replace(one, status=answer.status) for one in asked]
        for one in done:
            if request.method == "GET" and answer.status == 200 and self.late(one):
                answer = await self._as_it_was(request, one, answer)
        for one in done:
            self.requests.append(one)
            self.after(one)
        await asyncio.sleep(max(map(self.slow_s, done)))
        return answer

    async def _as_it_was(self, request: web.Request, done: Request, answer: web.Response) -> web.Response:
        """The answer with what it says of that run one version before the newest object of the run in it, or, where objects have
        only gone, as it was when they were there; the answer itself where it was shown before."""
        assert isinstance(answer.body, bytes)
        found = json.loads(answer.body)
        is_list = "items" in found
        items: list[Object] = [item for item in found["items"] if _of(item) == done.name] if is_list else [found]
        newest = max((int(item["metadata"]["resourceVersion"]) for item in items), default=0)
        there = frozenset(item["metadata"]["uid"] for item in items)
        what = done.path, done.name
        newest_before, there_before, read_before = self._shown.get(what, (0, frozenset[str](), 0))
        self._shown[what] = newest, there, int(found["metadata"]["resourceVersion"])
        if (newest, there) == (newest_before, there_before):
            return answer
        version = newest - 1 if newest > read_before else read_before
        query = {"resourceVersion": str(version), "resourceVersionMatch": "Exact"}
        where = request.path
        if is_list:
            query["labelSelector"] = f"{LABEL_RUN}={done.name}"
        else:
            where, _, name = where.rpartition("/")
            query["fieldSelector"] = f"metadata.name={name}"
        async with self._upstream(request, str(request.rel_url.with_path(where).with_query(query)), b"") as older:
            assert older.status == 200, await older.text()
            then = await older.json()
        if not is_list and not then["items"]:
            return answer
        self.shown_late.add((done.run, done.kind))
        if not items:
            self.outlived.add((done.run, done.kind))
        if not is_list:
            return web.json_response(then["items"][0])
        found["items"] = [*then["items"], *(item for item in found["items"] if _of(item) != done.name)]
        return web.json_response(found)

    def _upstream(self, request: web.Request, path: str, body: bytes) -> "aiohttp.client._RequestContextManager":
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers |= self.upstream.authorization
        return self._session.request(request.method, self.upstream.server + path, data=body or None, headers=headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        async with self._upstream(request, request.path_qs, b"") as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
            await response.prepare(request)
            async for line in answer.content:
                news = _news(line)
                if news is not None:
                    self.news.append(news)
                try:
                    if news is None or not self.lost(news):
                        await response.write(line)
                except Cut:
                    await response.write(line[: len(line) // 2])
                    _reset(request)
                    break
            return response


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _news(line: bytes) -> News | None:
    event = json.loads(line)
    thing = event["object"]
    labels = thing["metadata"].get("labels", {})
    if thing["kind"] == KIND and "uid" in thing["metadata"]:
        return News(event["type"], KIND, thing["metadata"]["name"], ())
    if LABEL_RUN not in labels:
        return None  # a bookmark, or the watch's own end
    return News(
        event["type"], thing["kind"], labels[LABEL_RUN], tuple(labels[of] for of in (LABEL_ROUND, LABEL_STAGE, LABEL_ROLE))
    )


def _of(child: Object) -> str:
    return str(child["metadata"]["labels"][LABEL_RUN])


async def _names(request: web.Request) -> list[str]:
    """Of the object; for a list, of the runs whose objects are asked for, or nothing where it is not of runs."""
    if request.method == "POST":
        return [(await request.json())["metadata"]["name"]]
    selector = request.query.get("labelSelector")
    if selector:
        return selector.partition(" in (")[2].rstrip(")").split(",")
    return ["".join(request.path.split("/namespaces/")[1].split("/")[2:3])]
