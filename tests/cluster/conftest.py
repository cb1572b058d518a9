"""A Kubernetes API server for the tests in this folder: one of their own, or the one that EVOLUTION_TEST_KUBECONFIG names."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.cluster.lab import UPSTREAM, Lab
from tests.testbed.api import Api, Object, connected, install_definition, own_namespace
from tests.testbed.control_plane import ControlPlane, running
from tests.testbed.tools.binaries import sources

from evolution_api import crd as contract

GIVEN = os.environ.get("EVOLUTION_TEST_KUBECONFIG")
TEST_LIMIT_S = 300
SCHEMAS = {
    "training-operator": "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",
    "kserve": "config/crd/full/serving.kserve.io_inferenceservices.yaml",
}
"""Of other people's kinds, in the modules of their programs."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The limit is a test's own: the first one would otherwise pay for building a control plane."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_LIMIT_S, func_only=True))


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[ControlPlane]:
    """A control plane of this machine's own; tests that stop and start its parts ask for it by this name."""
    if GIVEN:
        pytest.skip("this test stops and starts the API server, which a given cluster is not asked to bear")
    with running(tmp_path_factory.mktemp("control-plane"), binary) as plane:
        yield plane


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Path:
    if GIVEN:
        return Path(GIVEN)
    plane: ControlPlane = request.getfixturevalue("control_plane")
    return plane.kubeconfig


@pytest.fixture(scope="session")
def api(kubeconfig: Path, binary: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with connected(kubeconfig, binary("kubectl"), tmp_path_factory.mktemp("kubectl")) as client:
        yield client


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    with own_namespace(api) as name:
        yield name


@pytest.fixture(scope="session")
def install(api: Api) -> Callable[[Object], None]:
    return partial(install_definition, api)


@pytest.fixture(scope="session")
def crd(install: Callable[[Object], None]) -> Object:
    """Our CustomResourceDefinition as it is committed, installed."""
    definition: Object = yaml.safe_load(contract.FILE.read_text())
    install(definition)
    return definition


@pytest.fixture(scope="module")
def upstream(install: Callable[[Object], None]) -> None:
    """The CustomResourceDefinitions of other people's kinds as the pinned versions have them, installed."""
    if "EVOLUTION_TEST_KUBECONFIG" in os.environ:
        pytest.skip("a given cluster may have such definitions of its own")
    for program, file in SCHEMAS.items():
        install(yaml.load((sources(program) / file).read_text(), yaml.CSafeLoader))


@pytest.fixture
def lab(api: Api, namespace: str, crd: Object, install: Callable[[Object], None]) -> Lab:
    """Where children are completed by hand; for them other people's kinds are installed with schemas that take everything."""
    for definition in UPSTREAM:
        install(definition)
    return Lab(api, namespace)
