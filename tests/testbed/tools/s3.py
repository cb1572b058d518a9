"""A real S3 server (versitygw) for tests: one on the loopback interface, and one that pods of a test node reach."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from tests.testbed.tools.daemon import LOOPBACK, Daemon, accepts, free_ports

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
BUCKET = "runs"


@contextmanager
def s3_serving(folder: Path, binary: Callable[[str], Path], address: str = LOOPBACK) -> Iterator[Daemon]:
    """A server with an empty bucket; `stop` and `start` take it away and bring it back on the same data."""
    data = folder / "data"
    (data / BUCKET).mkdir(parents=True)  # a folder is a bucket
    (port,) = free_ports(1)
    command = [str(binary("versitygw")), "--port", f"{address}:{port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY]
    url = f"http://{address}:{port}"
    server = Daemon([*command, "posix", str(data)], url, folder / "versitygw.log", lambda: accepts(port, address))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def s3_client(url: str) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


def upload(client: "S3Client", folder: Path, prefix: str) -> None:
    """Every file below `folder`, under keys of the same shape."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")
