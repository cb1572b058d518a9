"""Fixtures that more than one area of the tests uses: real data, programs that are built, and a real S3 server (versitygw)."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.testbed.tools import binaries
from tests.testbed.tools.daemon import Daemon
from tests.testbed.tools.s3 import CREDENTIALS, s3_serving

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scenes and questions; skips where it is absent."""
    folder = Path(os.environ.get("EVOLUTION_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EVOLUTION_DATA to the folder that holds vsibench/")
    return folder


@pytest.fixture(scope="session")
def binary(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """A program of tests/testbed/tools by its name; its building is seen, not captured."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def built(program: str) -> Path:
        with capture.global_and_fixture_disabled():
            return binaries.binary(program)

    return built


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Daemon]:
    """`stop` and `start` let a test take it away and bring it back on the same data."""
    with s3_serving(tmp_path_factory.mktemp("s3"), binary) as server:
        yield server


@pytest.fixture
def s3_endpoint(s3_server: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of the server, with a bucket `runs`; the credentials are in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return s3_server.url
