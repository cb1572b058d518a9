"""Reads runs, their children and their pods as the API server's cache has them, where that is no older than what is known.

A live list waits until the cache is known to be up to date, which the API server asks of etcd at most ten times a second; a run
that is read live is fetched from etcd and decoded. And each list passes over all that the namespace has of a kind, so that lists
that are wanted while one is under way become one. Called by the reconciler; the handlers say what they hear.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from evolution_api.layout import API_VERSION, KIND, LABEL_RUN
from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.interface import KubeObject

FROM_THE_FUTURE = "ResourceVersionTooLarge"


class Collection(NamedTuple):
    api_version: str
    kind: str
    namespace: str


@dataclass
class Wanted:
    """What the next list of a place is to hold."""

    found: asyncio.Task[Mapping[str, Sequence[KubeObject]]]
    """By the label of the run."""
    labels: set[str] = field(default_factory=set)
    live: bool = False


class CachedReads:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._newest: dict[str, int] = {}
        """By kind, the newest version that was heard of, written or read: what is read is no older. A kind lies in one etcd,
        which counts its changes."""
        self._wanted: dict[Collection, Wanted] = {}
        self._turn: dict[Collection, asyncio.Lock] = defaultdict(asyncio.Lock)

    def heard(self, raw: KubeObject) -> None:
        """Of an object, at that version."""
        self._at_least(raw["kind"], int(raw["metadata"]["resourceVersion"]))

    async def run(self, namespace: str, name: str) -> KubeObject:
        with self._forgetting(KIND):
            raw = await self._api.get(API_VERSION, KIND, namespace, name, self._newest.get(KIND, 0))
        self.heard(raw)
        return raw

    async def of_run(
        self, api_version: str, kind: str, namespace: str, label: str, *, live: bool = False
    ) -> Sequence[KubeObject]:
        """Whole objects with a run's label; none where the cluster does not know the kind. `live`: all up to now is in it."""
        place = Collection(api_version, kind, namespace)
        wanted = self._wanted.get(place)
        if wanted is None:
            wanted = self._wanted[place] = Wanted(asyncio.create_task(self._ask(place)))
        wanted.labels.add(label)
        wanted.live |= live
        return (await asyncio.shield(wanted.found)).get(label, [])

    async def _ask(self, place: Collection) -> Mapping[str, Sequence[KubeObject]]:
        async with self._turn[place]:
            wanted = self._wanted.pop(place)
            at_least = 0 if wanted.live else self._newest.get(place.kind, 0)
            selector = f"{LABEL_RUN} in ({','.join(sorted(wanted.labels))})"
            with self._forgetting(place.kind):
                items, version = await self._api.list_at_least(*place, selector, at_least)
        self._at_least(place.kind, version)
        found: dict[str, list[KubeObject]] = defaultdict(list)
        for item in items:
            found[item["metadata"]["labels"][LABEL_RUN]].append(item)
        return found

    @contextmanager
    def _forgetting(self, kind: str) -> Iterator[None]:
        """What is known of a cluster that was restored from a backup."""
        try:
            yield
        except ApiError as error:
            if FROM_THE_FUTURE in error.causes:
                self._newest.pop(kind, None)
            raise

    def _at_least(self, kind: str, version: int) -> None:
        self._newest[kind] = max(version, self._newest.get(kind, 0))
