"""A client for storms: raw JSON to one API server, many requests at once, and its watches. Used by `orchestration.py`."""

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiohttp

Object = dict[str, Any]
CONNECTIONS = 32
"""Requests under way at once."""
LONGEST_LINE_BYTES = 2**22
MERGE = "application/merge-patch+json"


class Client:
    """Use it as an async context manager; the kubeconfig is one of the test control plane's own."""

    def __init__(self, kubeconfig: Path) -> None:
        known = json.loads(kubeconfig.read_text())
        cluster, user = known["clusters"][0]["cluster"], known["users"][0]["user"]
        self._server = cluster["server"]
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])

    async def __aenter__(self) -> Self:
        self._requests = aiohttp.ClientSession(
            self._server, headers=self._headers, connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._tls)
        )
        self._watches = aiohttp.ClientSession(
            self._server,
            headers=self._headers,
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls),
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=LONGEST_LINE_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._requests.close()
        await self._watches.close()

    async def send(self, method: str, path: str, body: Object, type_: str = "application/json") -> Object:
        """Raises RuntimeError with the server's words where it refuses."""
        data = json.dumps(body).encode()
        async with self._requests.request(method, path, data=data, headers={"Content-Type": type_}) as answer:
            content = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {content.decode()[:500]}")
            found: Object = json.loads(content)
            return found

    async def watch(self, path: str, added: Callable[[Object], None]) -> None:
        """Tell of each object that is there or comes to be, for ever; the server ends watches that it finds slow."""
        query = {"watch": "true"}
        while True:
            async with self._watches.get(path, params=query, raise_for_status=True) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    query["resourceVersion"] = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] == "ADDED":
                        added(event["object"])
