"""Fixtures that more than one area of the tests uses: real data, programs that are built, and a real S3 server (versitygw)."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from tests.tools import binaries
from tests.tools.daemon import LOOPBACK, Daemon, accepts, free_ports

ROOT = Path(__file__).parent.parent
ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scenes and questions; skips where it is absent."""
    folder = Path(os.environ.get("EVOLUTION_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EVOLUTION_DATA to the folder that holds vsibench/")
    return folder


@pytest.fixture(scope="session")
def binary(pytestconfig: pytest.Config) -> Callable[[str], Path]:
    """A program of tests/tools by its name; its building is seen, not captured."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def built(program: str) -> Path:
        with capture.global_and_fixture_disabled():
            return binaries.binary(program)

    return built


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory, binary: Callable[[str], Path]) -> Iterator[Daemon]:
    """`stop` and `start` let a test take it away and bring it back on the same data."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data").mkdir()
    (port,) = free_ports(1)
    command = [str(binary("versitygw")), "--port", f"{LOOPBACK}:{port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY]
    url = f"http://{LOOPBACK}:{port}"
    server = Daemon([*command, "posix", str(folder / "data")], url, folder / "versitygw.log", lambda: accepts(port))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3_endpoint(s3_server: Daemon, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of the server; the credentials and a bucket `runs` are ready."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    client = boto3.client("s3", endpoint_url=s3_server.url, region_name="us-east-1")
    if "runs" not in {b["Name"] for b in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket="runs")
    return s3_server.url
