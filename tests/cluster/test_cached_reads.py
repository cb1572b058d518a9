"""Reads that are as new as what is known of their kind, by the real API server's cache."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.runs import run
from tests.testbed.api import Api, Object, address

from evolution_api.layout import KIND as RUN_KIND
from evolution_api.layout import LABEL_RUN
from evolution_operator.cluster.api import Api as Client
from evolution_operator.cluster.api import ApiError
from evolution_operator.cluster.cached_reads import FROM_THE_FUTURE, CachedReads

MANY = 50
KIND = ("v1", "ConfigMap")


@pytest.fixture(autouse=True)
def _this_cluster(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


class Noting(Client):
    """Writes down the lists that are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.at_least: list[int] = []

    async def list_at_least(self, *args: Any) -> tuple[Sequence[Object], int]:
        self.at_least.append(args[-1])
        return await super().list_at_least(*args)


def note(namespace: str, name: str, of: str = "x") -> Object:
    meta = {"name": name, "namespace": namespace, "labels": {LABEL_RUN: of}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def names(found: Sequence[Object]) -> list[str]:
    return [one["metadata"]["name"] for one in found]


def test_what_somebody_made_is_listed_as_soon_as_it_was_heard_of(api: Api, namespace: str) -> None:
    async def story() -> None:
        async with Client() as client:
            recent = CachedReads(client)
            for number in range(MANY):
                recent.heard(await asyncio.to_thread(api.create, note(namespace, f"n{number}")))
                assert len(await recent.of_run(*KIND, namespace, "x")) == number + 1
            assert not await recent.of_run(*KIND, namespace, "y")

    asyncio.run(story())


def test_lists_that_are_wanted_at_once_become_two(api: Api, namespace: str) -> None:
    """The first goes out alone, the others wait for it and share the next; what each run gets is its own."""
    for name in "abc":
        api.create(note(namespace, name, of=name))

    async def story() -> None:
        async with Noting() as client:
            recent = CachedReads(client)
            first = asyncio.create_task(recent.of_run(*KIND, namespace, "a"))
            while not client.at_least:
                await asyncio.sleep(0)
            recent.heard(api.create(note(namespace, "late", of="b")))
            found = await asyncio.gather(*(recent.of_run(*KIND, namespace, of) for of in "abcdb"))
            assert [names(one) for one in [await first, *found]] == [["a"], ["a"], ["b", "late"], ["c"], [], ["b", "late"]]
            assert len(client.at_least) == 2

    asyncio.run(story())


@pytest.mark.parametrize("live", [True, False])
def test_one_that_asks_for_a_live_list_gets_it_however_many_ask(api: Api, namespace: str, live: bool) -> None:
    async def story() -> None:
        async with Noting() as client:
            recent = CachedReads(client)
            recent.heard(api.create(note(namespace, "a", of="a")))
            await asyncio.gather(recent.of_run(*KIND, namespace, "a"), recent.of_run(*KIND, namespace, "b", live=live))
            assert [version == 0 for version in client.at_least] == [live]

    asyncio.run(story())


@pytest.mark.usefixtures("crd")
def test_a_run_is_read_as_it_was_heard_of_last(api: Api, namespace: str) -> None:
    async def story() -> None:
        async with Client() as client:
            recent = CachedReads(client)
            recent.heard(api.create(run(namespace=namespace)))
            for rounds in range(1, MANY):
                change = {"spec": {"rounds": rounds}}
                recent.heard(await asyncio.to_thread(api.patch, address(run(namespace=namespace)), change))
                assert (await recent.run(namespace, "x"))["spec"]["rounds"] == rounds
            recent.heard({"kind": RUN_KIND, "metadata": {"resourceVersion": str(10**15)}})
            with pytest.raises(ApiError) as refused:
                await recent.run(namespace, "x")
            assert FROM_THE_FUTURE in refused.value.causes
            assert (await recent.run(namespace, "x"))["metadata"]["name"] == "x"

    asyncio.run(story())


def test_what_is_known_from_before_the_cluster_was_restored_is_forgotten(api: Api, namespace: str) -> None:
    """It counts its changes from an earlier one on then."""
    made = api.create(note(namespace, "n"))

    async def story() -> None:
        async with Client() as client:
            recent = CachedReads(client)
            recent.heard({**made, "metadata": {"resourceVersion": str(10**15)}})
            for refused in await asyncio.gather(*(recent.of_run(*KIND, namespace, of) for of in "xy"), return_exceptions=True):
                assert isinstance(refused, ApiError)
                assert FROM_THE_FUTURE in refused.causes
            assert [found["metadata"]["uid"] for found in await recent.of_run(*KIND, namespace, "x")] == [made["metadata"]["uid"]]

    asyncio.run(story())
