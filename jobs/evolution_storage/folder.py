"""Storage in a folder: a write goes to a temporary file beside its place, is flushed to disk, and is renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evolution_storage.store import TEMPORARY, StorageError, draft_of


class FolderStore:
    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise KeyError(key) from None

    def write(self, key: str, data: bytes) -> None:
        with self._replacing(key) as temporary:
            temporary.write_bytes(data)

    def upload(self, key: str, path: Path) -> None:
        with self._replacing(key) as temporary:
            shutil.copyfile(path, temporary)

    def download(self, key: str, path: Path) -> None:
        source = self._path(key)
        if not source.is_file():
            raise KeyError(key)
        with draft_of(path) as draft:
            shutil.copyfile(source, draft)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def list(self, prefix: str) -> list[str]:
        start = self._path(prefix)
        files = (p for p in start.rglob("*") if p.is_file() and not p.name.startswith(TEMPORARY))
        return sorted(p.relative_to(self.root).as_posix() for p in files)

    def delete(self, prefix: str) -> None:
        path = self._path(prefix)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def local_path(self, key: str) -> Path | None:
        return self._path(key)

    def _path(self, key: str) -> Path:
        assert not key.startswith("/"), f"key {key!r} is absolute"
        assert ".." not in key.split("/"), f"key {key!r} leaves the store"
        return self.root / key

    @contextmanager
    def _replacing(self, key: str) -> Iterator[Path]:
        target = self._path(key)
        temporary: Path | None = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
            os.close(descriptor)
            temporary = Path(name)
            temporary.chmod(0o644)
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        except OSError as error:
            raise StorageError(
                f"cannot write {key} below {self.root}: {error.strerror or error}; free or mend the folder"
            ) from error
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
