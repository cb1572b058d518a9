"""Lists that are as new as what is known of their kind, by the real API server's cache."""

import asyncio
from pathlib import Path

import pytest
from tests.cluster.harness.api import Api, Object

from evolution_operator.cluster.api import Api as Client
from evolution_operator.cluster.api import ApiError
from evolution_operator.cluster.recent import FROM_THE_FUTURE, Recent

MANY = 50
KIND = ("v1", "ConfigMap")


@pytest.fixture(autouse=True)
def _this_cluster(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


def note(namespace: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": {"of": "x"}}}


def test_what_somebody_made_is_listed_as_soon_as_it_was_heard_of(api: Api, namespace: str) -> None:
    async def story() -> None:
        async with Client() as client:
            recent = Recent(client)
            for number in range(MANY):
                recent.heard(await asyncio.to_thread(api.create, note(namespace, f"n{number}")))
                assert len(await recent.list(*KIND, namespace, "of=x")) == number + 1
            assert not await recent.list(*KIND, namespace, "of=y")

    asyncio.run(story())


def test_what_is_known_from_before_the_cluster_was_restored_is_forgotten(api: Api, namespace: str) -> None:
    """It counts its changes from an earlier one on then."""
    made = api.create(note(namespace, "n"))

    async def story() -> None:
        async with Client() as client:
            recent = Recent(client)
            recent.heard({**made, "metadata": {"resourceVersion": str(10**15)}})
            with pytest.raises(ApiError) as refused:
                await recent.list(*KIND, namespace, "of=x")
            assert FROM_THE_FUTURE in refused.value.causes
            assert [found["metadata"]["uid"] for found in await recent.list(*KIND, namespace, "of=x")] == [
                made["metadata"]["uid"]
            ]

    asyncio.run(story())
