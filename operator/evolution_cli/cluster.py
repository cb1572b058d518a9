"""Runs on a cluster, asked for with the rights of whoever asks. See location.py.

It only reads.
"""

import asyncio
import base64
import shlex
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from evolution_api.explain import sentences
from evolution_api.layout import API_VERSION, KIND, LABEL_ROUND, LABEL_RUN_UID, LABEL_STAGE
from evolution_api.run.resource import EvolutionRun, Metadata
from evolution_cli.location import Details, KeptRun, happened, reached_by
from evolution_operator.children.registry import KINDS
from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.cluster.kubeconfig import KubeconfigError, login
from evolution_operator.cluster.reconciler import PODS
from evolution_operator.errors import RefusedError
from evolution_operator.interface import KubeObject, Observed
from evolution_operator.lifecycle.family import family_of
from evolution_storage.store import Store

ANSWER_LIMIT_S = 15.0
"""For one answer of the API server, the connection included; nobody at a terminal waits longer for one that is not there."""
LATEST_EVENTS = 20

T = TypeVar("T")


class ClusterLocation:
    """One namespace of a cluster, or all where `everywhere`."""

    def __init__(self, namespace: str | None, context: str | None, *, everywhere: bool, endpoint: str | None) -> None:
        try:
            self._api = Api(lambda: login(context), ANSWER_LIMIT_S)
        except KubeconfigError as error:
            raise RefusedError(str(error)) from error
        self.context = context
        self.endpoint = endpoint
        self._given = namespace
        self._namespace = "" if everywhere else possible("any", namespace or self._api.namespace).namespace
        where = f"namespace {self._namespace}" if self._namespace else "any namespace"
        self.nothing = f"No runs in {where} of this cluster. Start one with `kubectl apply -f FILE`."

    def runs(self) -> list[KubeObject]:
        return [plain(raw) for raw in self.ask(lambda api: api.list_known(API_VERSION, KIND, self._namespace))]

    def find(self, run: str) -> KeptRun:
        meta = self._named(run)
        return ClusterRun(self, parsed(plain(self.ask(lambda api: existing(api, meta.namespace, meta.name)))))

    def ask(self, question: Callable[[Api], Awaitable[T]]) -> T:
        """Raises RefusedError, or ConnectionError where the API server does not answer."""

        async def asked() -> T:
            async with self._api as api:
                return await question(api)

        try:
            return asyncio.run(asked())
        except KubeconfigError as error:
            raise RefusedError(str(error)) from error
        except ApiError as error:
            raise self._told(error) from error

    def _named(self, run: str) -> Metadata:
        namespace, slash, name = run.rpartition("/")
        if slash and self._given not in (None, namespace):
            raise RefusedError(f"RUN is {run!r} and --namespace is {self._given!r}: leave one of the two namespaces out")
        return possible(name, namespace if slash else self._namespace)

    def _told(self, error: ApiError) -> Exception:
        if error.status == 0:
            where = f"{self._api.server}, waited for {ANSWER_LIMIT_S:.0f} s at most; another cluster is named with --context"
            return ConnectionError(f"{error} ({where})")
        if error.status == 401:
            return RefusedError(f"{error}: {self._api.server} does not take this login; log in again, or name another --context")
        if error.status == 403:
            return RefusedError(
                f"{error}; ask for the cluster's role `view` in that namespace, or name one where you have it with --namespace"
            )
        if error.status == 404:
            return RefusedError(
                f"{self._api.server} knows no EvolutionRuns: install the operator there (`helm install evolution-operator "
                "charts/evolution-operator`, docs/install.md), or name another cluster with --context"
            )
        return RefusedError(str(error))


def possible(name: str, namespace: str) -> Metadata:
    """Raises RefusedError where nothing can be called that."""
    try:
        return Metadata(name=name, namespace=namespace)
    except ValidationError as error:
        raise RefusedError(f"nothing on a cluster can be called that: {sentences(error)[0]}") from error


async def existing(api: Api, namespace: str, name: str) -> KubeObject:
    """Raises RefusedError that says which runs there are, where that one is not."""
    try:
        return await api.get(API_VERSION, KIND, namespace, name)
    except ApiError as error:
        if error.status != 404:
            raise
    there = [raw["metadata"]["name"] for raw in await api.list_known(API_VERSION, KIND, namespace)]
    said = f"there are {', '.join(there)}" if there else "there is none"
    raise RefusedError(f"no run {name!r} in namespace {namespace}: {said}; another namespace is named with --namespace")


def plain(raw: KubeObject) -> KubeObject:
    """Without the API server's book-keeping of who wrote which field."""
    return {**raw, "metadata": {key: value for key, value in raw["metadata"].items() if key != "managedFields"}}


def parsed(raw: KubeObject) -> EvolutionRun:
    try:
        return EvolutionRun.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        name = raw["metadata"]["name"]
        raise RefusedError(
            f"run {name} is of another version than this command: {sentences(error)[0]}; "
            f"bring both to one version, or look at it with `kubectl describe evolutionrun {name}`"
        ) from error


class ClusterRun:
    def __init__(self, place: ClusterLocation, run: EvolutionRun) -> None:
        self._place = place
        self.run = reached_by(place.endpoint, run)
        self.report = Path(f"{run.metadata.name}-report.html")

    @property
    def logs(self) -> str:
        """Of the stage under way where there is one."""
        meta, status = self.run.metadata, self.run.status
        labels = {LABEL_RUN_UID: meta.uid}
        if status.stage:
            labels |= {LABEL_ROUND: str(status.round), LABEL_STAGE: status.stage}
        context = ("--context", self._place.context) if self._place.context else ()
        selector = ",".join(f"{label}={value}" for label, value in labels.items())
        command = ("kubectl", *context, "--namespace", meta.namespace, "logs", "--selector", selector, "--prefix", "--tail=100")
        return shlex.join(command)

    def details(self) -> Details:
        return self._place.ask(self._details)

    async def _details(self, api: Api) -> Details:
        meta, hidden = self.run.metadata, []

        async def permitted(listing: Awaitable[list[KubeObject]]) -> list[KubeObject]:
            try:
                return await listing
            except ApiError as error:
                if error.status != 403:
                    raise
                hidden.append(error.message)
                return []

        own = f"{LABEL_RUN_UID}={meta.uid}"
        *found, pods, events = await asyncio.gather(
            *(permitted(api.list(kind.api_version, kind.kind, meta.namespace, own)) for kind in KINDS),
            permitted(api.list(*PODS, meta.namespace, own)),
            permitted(api.list_known("v1", "Event", meta.namespace, fieldSelector=f"involvedObject.uid={meta.uid}")),
        )
        family = family_of(self.run, Observed(tuple(plain(child) for each in found for child in each), tuple(map(plain, pods))))
        children = [{"object": child.raw, "pods": list(child.pods)} for child in family.children]
        return Details(children, latest(events), hidden)

    def store(self) -> Store:
        from evolution_cli.bucket import open_from_here

        namespace = self.run.metadata.namespace
        return open_from_here(self.run, lambda name: self._place.ask(lambda api: content_of(api, namespace, name)))


async def content_of(api: Api, namespace: str, secret: str) -> dict[str, str]:
    """Raises RefusedError where it is not there or must not be read."""
    try:
        data = (await api.get("v1", "Secret", namespace, secret)).get("data") or {}
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        raise RefusedError(error.message) from error
    return {key: base64.b64decode(value).decode(errors="ignore") for key, value in data.items()}


def latest(events: Sequence[KubeObject]) -> list[dict[str, Any]]:
    def order(event: KubeObject) -> tuple[datetime, int]:
        return happened(event), int(event["metadata"]["resourceVersion"])

    return [plain(event) for event in sorted(events, key=order)[-LATEST_EVENTS:]]
