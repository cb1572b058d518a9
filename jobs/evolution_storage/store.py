"""The interface of storage, and what it raises."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

TEMPORARY = ".writing-"
"""Prefix of files under way; never listed, and left over only by a killed program."""
PATIENCE_S = 150.0
"""How long an S3 server may be away until a program gives up: it is asked again, whole files too, after boto3's few retries."""


class StorageError(OSError):
    """Storage cannot do what was asked (unreachable, refused, full); trying again later may help."""


class CorruptError(ValueError):
    """What lies in storage is not what its manifest says, or the manifest is not this run's; the message names the key."""


class Store(Protocol):
    """Objects by key. Keys are relative to the store's root and '/'-separated; a write is seen whole or not at all."""

    def read(self, key: str) -> bytes:
        """Raises KeyError where there is no such object."""
        ...

    def write(self, key: str, data: bytes) -> None: ...

    def upload(self, key: str, path: Path) -> None:
        """A file of any size, in parts where that helps."""
        ...

    def download(self, key: str, path: Path) -> None:
        """Raises KeyError where there is no such object; `path` appears whole or not at all."""
        ...

    def exists(self, key: str) -> bool: ...

    def list(self, prefix: str) -> list[str]:
        """Keys below `prefix`, at any depth, sorted."""
        ...

    def delete(self, prefix: str) -> None:
        """The object of that key and every object below it; absent ones are no error."""
        ...

    def local_path(self, key: str) -> Path | None:
        """The file itself where the store is a folder on this machine, else None."""
        ...


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """What takes the place of `path`, whose folder is made, if all goes well, and is removed if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
