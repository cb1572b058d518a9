"""A control plane with a real node for the tests in this folder; `make test-cluster` runs them, as root."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.testbed.api import Api, Refused, own_namespace, restrict
from tests.testbed.images import image, reference
from tests.testbed.node import Node, running_node
from tests.testbed.tools.daemon import eventually
from tests.testbed.upstream import install_kserve, install_training_operator

TEST_LIMIT_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The limit is a test's own: the first one would otherwise pay for building the programs.

    Tests that start a node of their own come first, since a machine bears one at a time.
    """
    ours = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    for item in ours:
        item.add_marker(pytest.mark.cluster)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S, func_only=True))
    items.sort(key=lambda item: item in ours and "node" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("node"), binary) as started:
        yield started


@pytest.fixture(scope="session")
def api(node: Node) -> Api:
    return node.api


@pytest.fixture(scope="session")
def loaded(node: Node) -> Callable[..., str]:
    """Brings an image onto the node, once, and returns what the node calls it."""

    @cache
    def load(name: str, target: str = "") -> str:
        node.load(image(name, target))
        return reference(name)

    return load


@pytest.fixture(scope="session")
def training_operator(node: Node, binary: Callable[[str], Path]) -> None:
    install_training_operator(node, binary)


@pytest.fixture(scope="session")
def kserve(node: Node, binary: Callable[[str], Path]) -> None:
    install_kserve(node, binary)


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


@pytest.fixture
def restricted(api: Api, namespace: str) -> str:
    """The namespace of the test's own, which takes no pod that is not restricted."""
    restrict(api, namespace)
    return namespace
