"""A control plane with a real node for the tests in this folder; `make test-cluster` runs them, as root."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cluster.harness.api import Api, Refused, connected, own_namespace
from tests.cluster.harness.node import Node, running_node
from tests.tools.daemon import eventually

TEST_LIMIT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The limit is a test's own: the first one would otherwise pay for building the programs."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S, func_only=True))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("node"), binary) as started:
        yield started


@pytest.fixture(scope="module")
def api(node: Node, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with connected(node.plane.kubeconfig, binary("kubectl"), tmp_path_factory.mktemp("kubectl")) as client:
        yield client


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own, in which pods can be made."""
    with own_namespace(api) as name:

        def has_account() -> bool:
            try:
                api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            except Refused:
                return False
            return True

        eventually(has_account, "the namespace has its service account")
        yield name
