"""What every test of this folder needs: the proxy between operator and API server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.faults.proxy import Proxy

from evolution_operator.cluster.api import Api as Client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    given = pytest.mark.skipif("EVOLUTION_TEST_KUBECONFIG" in os.environ, reason="children are completed by hand: needs no nodes")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(given)


@pytest.fixture
def proxy(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with Proxy(Client()) as running:
        yield running
