"""How a URI opens a store. Programs and the command line come through here; neither knows S3 from a folder."""

from pathlib import Path

from evolution_api.jobs import StageInput
from evolution_storage.store import PATIENCE_S, Store


def open_store(uri: str, endpoint: str | None = None, *, patience_s: float = PATIENCE_S) -> Store:
    """Open file:///folder or s3://bucket/prefix; `endpoint` is the URL of an S3 server other than AWS.

    `patience_s`: how long an S3 server may be away.
    Raises ValueError for any other URI.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        from evolution_storage.folder import FolderStore

        return FolderStore(Path(rest))
    if scheme == "s3":
        from evolution_storage.s3 import S3Store

        bucket, _, prefix = rest.partition("/")
        return S3Store(bucket, prefix, endpoint, patience_s)
    raise ValueError(f"storage uri {uri!r} has the scheme {scheme!r}; use file:///folder or s3://bucket/prefix")


def run_store(job: StageInput) -> Store:
    """The store of one run, rooted at its own prefix."""
    return open_store(f"{job.spec.storage.uri.rstrip('/')}/{job.prefix}", job.spec.storage.endpoint)
