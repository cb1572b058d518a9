"""Speaks to the API server in raw JSON over one HTTP session; the only module that does. Called by the rest of the adapter.

It retries nothing but an expired login: whoever asked knows better what to do about an ApiError. The command line asks by it too.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Self

import aiohttp
import kopf
import orjson

from evolution_operator.cluster.metrics import API_REQUESTS
from evolution_operator.interface import KubeObject, Ref

USER_AGENT = "evolution-operator"
REQUEST_LIMIT_S = 30
CONNECT_LIMIT_S = 5
CONNECTIONS = 64
"""At once; each request needs one, and the rest wait their turn."""
PAGE = 100
"""Objects of a list that are held at once where there may be many thousands."""
JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """The API server refused, or did not answer."""

    def __init__(
        self,
        doing: str,
        status: int,
        reason: str,
        message: str,
        *,
        causes: tuple[str, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"cannot {doing}: {message}")
        self.doing = doing
        """What was asked for, as it follows "cannot"."""
        self.status = status
        """HTTP status; 0 where no answer came."""
        self.reason = reason
        """The machine-readable reason of the API server's Status object; empty where there is none."""
        self.message = message
        self.causes = causes
        """Reasons of the Status object's causes."""
        self.retry_after_s = retry_after_s
        """How long the server asks to be left alone."""


def login() -> Any:
    """A kopf.ConnectionInfo: the pod's service account, or else the kubeconfig that KUBECONFIG or the home folder names.

    Raises kopf.LoginError where there is neither.
    """
    settings = kopf.OperatorSettings()
    try:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    except OSError as error:
        raise kopf.LoginError(f"the kubeconfig cannot be read ({error}): set KUBECONFIG to one that can") from error
    if found is None:
        raise kopf.LoginError("no service account is mounted and no kubeconfig was found: set KUBECONFIG to one")
    return found


class Api:
    """Use it as an async context manager. `login` is asked again when the server no longer takes the token."""

    def __init__(self, login: Callable[[], Any] = login, limit_s: float = REQUEST_LIMIT_S) -> None:
        self._login = login
        self._limit_s = limit_s
        info = login()
        self.server: str = info.server.rstrip("/")
        self.namespace: str = info.default_namespace or "default"
        """The pod's own, or that of the kubeconfig's context."""
        self.authorization: dict[str, str] = info.as_http_headers()
        self.tls = info.as_ssl_context()
        self._proxy = {"proxy": info.proxy_url, "trust_env": info.trust_env}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self.tls),
            timeout=aiohttp.ClientTimeout(total=self._limit_s, sock_connect=CONNECT_LIMIT_S),
            headers={"User-Agent": USER_AGENT},
            **self._proxy,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, api_version: str, kind: str, namespace: str, name: str, at_least: int = 0) -> KubeObject:
        """As it was at that version or later; as it is now for 0."""
        query = {"resourceVersion": str(at_least)} if at_least else None
        return await self._call(f"read {kind} {name}", "GET", path(api_version, kind, namespace, name), query=query)

    async def list_known(self, api_version: str, kind: str, namespace: str = "", **query: str) -> list[KubeObject]:
        """Whole objects of a namespace, or of all; refused with status 404 where the cluster does not know the kind."""
        items, _ = await self._listed(api_version, kind, namespace, query)
        return [*items]

    async def metadata(self, api_version: str, kind: str, namespace: str = "") -> AsyncIterator[Sequence[KubeObject]]:
        """The same objects with their metadata alone, some at a time."""
        query = {"limit": str(PAGE)}
        while True:
            where = path(api_version, kind, namespace)
            answer = await self._call(f"list {kind}s", "GET", where, query=query, accept=METADATA_LIST)
            yield answer["items"] or ()  # null where there is none
            query["continue"] = answer["metadata"].get("continue", "")
            if not query["continue"]:
                return

    async def list(self, api_version: str, kind: str, namespace: str, selector: str) -> list[KubeObject]:
        """Whole objects of that label; none where the cluster does not know the kind."""
        items, _ = await self.list_at_least(api_version, kind, namespace, selector, 0)
        return [*items]

    async def list_at_least(
        self, api_version: str, kind: str, namespace: str, selector: str, version: int
    ) -> tuple[Sequence[KubeObject], int]:
        """The same as at that version or later, or, for 0, as it is now; with the version that it shows, 0 where the kind is
        not known."""
        query = {"labelSelector": selector}
        if version:
            query |= {"resourceVersion": str(version), "resourceVersionMatch": "NotOlderThan"}
        try:
            return await self._listed(api_version, kind, namespace, query)
        except ApiError as error:
            if error.status == 404:
                return [], 0
            raise

    async def _listed(
        self, api_version: str, kind: str, namespace: str, query: Mapping[str, str]
    ) -> tuple[Sequence[KubeObject], int]:
        where = f"namespace {namespace}" if namespace else "all namespaces"
        answer = await self._call(f"list {kind}s in {where}", "GET", path(api_version, kind, namespace), query=query)
        # Lists of built-in kinds leave out what each item is.
        items = [{"apiVersion": api_version, "kind": kind, **item} for item in answer["items"]]
        return items, int(answer["metadata"]["resourceVersion"])

    async def create(self, manifest: KubeObject) -> KubeObject:
        kind, meta = manifest["kind"], manifest["metadata"]
        where = path(manifest["apiVersion"], kind, meta["namespace"])
        return await self._call(f"create {kind} {meta['name']}", "POST", where, body=manifest)

    async def replace(self, raw: KubeObject) -> KubeObject:
        """Refused with a conflict where the object's resourceVersion is not the newest."""
        kind, meta = raw["kind"], raw["metadata"]
        where = path(raw["apiVersion"], kind, meta["namespace"], meta["name"])
        return await self._call(f"update {kind} {meta['name']}", "PUT", where, body=raw)

    async def merge(self, raw: KubeObject, change: Mapping[str, Any], subresource: str = "") -> KubeObject:
        """The object after a merge patch, which is refused with a conflict where `raw` is not the newest version."""
        kind, meta = raw["kind"], raw["metadata"]
        where = path(raw["apiVersion"], kind, meta["namespace"], meta["name"], subresource)
        version = {"resourceVersion": meta["resourceVersion"]}
        body = {**change, "metadata": {**change.get("metadata", {}), **version}}
        doing = f"write the {subresource or 'metadata'} of {kind} {meta['name']}"
        return await self._call(doing, "PATCH", where, body=body, content_type=MERGE_PATCH)

    async def delete(self, ref: Ref) -> None:
        """With background propagation; what is gone, or has a namesake in its place, is left alone."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": ref.uid},
        }
        try:
            await self._call(
                f"delete {ref.kind} {ref.name}",
                "DELETE",
                path(ref.api_version, ref.kind, ref.namespace, ref.name),
                body=options,
            )
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def _call(
        self,
        doing: str,
        method: str,
        where: str,
        *,
        query: Mapping[str, str] | None = None,
        body: KubeObject | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> KubeObject:
        data = None if body is None else orjson.dumps(body)
        steps = where.split("/")
        resource = steps[steps.index("namespaces") + 2] if "namespaces" in steps else steps[-1]
        for attempt in ("first", "logged in again"):
            headers = {"Accept": accept, "Content-Type": content_type, **self.authorization}
            try:
                async with self._session.request(method, self.server + where, params=query, data=data, headers=headers) as answer:
                    content = await answer.read()
                    API_REQUESTS.labels(method, resource, answer.status).inc()
                    if answer.status == 401 and attempt == "first":
                        self.authorization = self._login().as_http_headers()
                        continue
                    if answer.status >= 400:
                        raise _error(doing, answer.status, content, answer.headers.get("Retry-After"))
                    found: KubeObject = orjson.loads(content)
                    return found
            except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
                if not isinstance(error, orjson.JSONDecodeError):
                    API_REQUESTS.labels(method, resource, 0).inc()
                said = str(error) or type(error).__name__
                raise ApiError(doing, 0, "", f"the API server does not answer: {said}") from error
        raise AssertionError("unreachable: the second attempt returns or raises")


def path(api_version: str, kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """Path of a namespaced object, of the collection where it has no name, and of all namespaces' where there is none.

    Every kind used here has a regular plural.
    """
    root = "/api" if "/" not in api_version else "/apis"
    place = f"namespaces/{namespace}" if namespace else ""
    return "/".join(filter(None, (root, api_version, place, f"{kind.lower()}s", name, subresource)))


def _error(doing: str, status: int, content: bytes, retry_after: str | None) -> ApiError:
    try:
        said = orjson.loads(content)
    except ValueError:
        said = None
    # Proxies on the way, and the server for a path that it does not know, answer in plain text.
    if not isinstance(said, dict):
        said = {"message": content[:1000].decode(errors="replace").strip()}
    details = said.get("details") or {}
    wait = retry_after or details.get("retryAfterSeconds")
    return ApiError(
        doing,
        status,
        said.get("reason") or "",
        said.get("message") or f"HTTP status {status}",
        causes=tuple(cause.get("reason", "") for cause in details.get("causes") or ()),
        retry_after_s=float(wait) if wait is not None and str(wait).isdigit() else None,
    )
