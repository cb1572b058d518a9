"""Data first, manifest last: the only way in which a stage's output comes to exist, and the only way in which it is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from evolution_api.jobs import StageInput
from evolution_api.layout import manifest_key
from evolution_api.results import LAYOUT_VERSION, Manifest, StoredFile
from evolution_api.summaries import AnySummary, Summary
from evolution_storage.store import CorruptError, Store

HASH_CHUNK_BYTES = 2**20
S = TypeVar("S", bound=Summary)


def commit(
    store: Store,
    job: StageInput,
    files: Mapping[str, bytes | Path],
    summary: AnySummary,
    *,
    shard: int | None = None,
    already: tuple[StoredFile, ...] = (),
    key: str | None = None,
) -> Manifest:
    """Write `files` (key -> content or local file), then the manifest that names them and `already` stored ones.

    `summary` says what was done.
    `key` is the manifest's own, by default that of the job's stage, round and shard.
    """
    stored = already + tuple(put(store, name, content) for name, content in files.items())
    manifest = Manifest(
        run_uid=job.uid,
        stage=job.stage,
        round=job.round,
        shard=shard,
        files=tuple(sorted(stored, key=lambda f: f.path)),
        summary=summary,
    )
    store.write(key or manifest_key(job.round, job.stage, shard), manifest.model_dump_json(indent=1).encode())
    return manifest


def put(store: Store, key: str, content: bytes | Path) -> StoredFile:
    """Store one file and return the record that a manifest keeps of it."""
    if isinstance(content, bytes):
        store.write(key, content)
        return StoredFile(path=key, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    record = StoredFile(path=key, bytes=content.stat().st_size, sha256=_sha256_of(content))
    store.upload(key, content)
    return record


def committed(store: Store, run_uid: str, key: str) -> Manifest | None:
    """The manifest at `key`, None where nothing was committed.

    Raises CorruptError for one that does not parse, was written in another layout, or belongs to another run.
    """
    try:
        data = store.read(key)
    except KeyError:
        return None
    if (version := _version(data)) not in (None, LAYOUT_VERSION):
        raise CorruptError(
            f"{key} was written in layout {version}, this version reads and writes {LAYOUT_VERSION}: go on with the version that "
            "began the run, or give the run another name and begin it anew"
        )
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise CorruptError(
            f"{key} is no manifest ({error.errors()[0]['msg']}); delete it, and its stage is done again"
        ) from error
    if manifest.run_uid != run_uid:
        raise CorruptError(
            f"{key} belongs to the run with uid {manifest.run_uid}, not to {run_uid}; give this run a folder of its own"
        )
    return manifest


def read_file(store: Store, manifest: Manifest, key: str) -> bytes:
    """One file that `manifest` names, its size and sha256 checked; raises CorruptError where they differ or it is gone."""
    record = _record(manifest, key)
    try:
        data = store.read(key)
    except KeyError:
        raise CorruptError(
            f"{key} is named by its manifest but is gone; delete the manifest, and its stage is done again"
        ) from None
    if len(data) != record.bytes:
        raise CorruptError(f"{key} has {len(data)} bytes, its manifest says {record.bytes}: it is truncated or was replaced")
    if (digest := hashlib.sha256(data).hexdigest()) != record.sha256:
        raise CorruptError(f"{key} has sha256 {digest}, its manifest says {record.sha256}: it was changed after it was written")
    return data


def fetch_files(store: Store, manifest: Manifest, prefix: str, folder: Path) -> Path:
    """Download every file of `manifest` below `prefix` into `folder`, checked; files already there and right are kept."""
    for record in manifest.files:
        if not record.path.startswith(f"{prefix}/"):
            continue
        target = folder / record.path[len(prefix) + 1 :]
        if not (target.is_file() and target.stat().st_size == record.bytes and _sha256_of(target) == record.sha256):
            try:
                store.download(record.path, target)
            except KeyError:
                raise CorruptError(f"{record.path} is named by its manifest but is gone") from None
            if (digest := _sha256_of(target)) != record.sha256:
                raise CorruptError(f"{record.path} has sha256 {digest}, its manifest says {record.sha256}")
    return folder


def summary_of(manifest: Manifest, type_: type[S]) -> S:
    """Raises CorruptError where what was committed is something else."""
    if not isinstance(manifest.summary, type_):
        raise CorruptError(
            f"the manifest of {manifest.stage} in round {manifest.round} holds a summary of type {manifest.summary.type}, and no "
            f"{type_.__name__}; delete the manifest, and its stage is done again"
        )
    return manifest.summary


def _version(data: bytes) -> object:
    """What the manifest says of its layout; None where it says nothing."""
    try:
        return json.loads(data).get("version")
    except (ValueError, AttributeError):
        return None


def _record(manifest: Manifest, key: str) -> StoredFile:
    for record in manifest.files:
        if record.path == key:
            return record
    raise CorruptError(f"{key} is not named by the manifest of {manifest.stage} in round {manifest.round}")


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
