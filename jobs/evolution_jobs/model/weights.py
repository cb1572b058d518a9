"""From a model's URI, or from the run's own checkpoint, to a folder on this machine.

    fetch_solver(job)              the weights that a stage starts from: a checkpoint of the run, or the base model
    fetch(uri, revision, endpoint) any model: the base, a proposer's

Called by every program that loads a model. It brings files and knows nothing of what is in them, except that a folder
without weights or processor is refused at once. What a store keeps in a folder is used where it lies.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from evolution_api.jobs import StageInput
from evolution_jobs.model.solver import check_folder
from evolution_jobs.program import BadInputError
from evolution_storage.manifests import committed, fetch_files
from evolution_storage.store import Store
from evolution_storage.uri import open_store, run_store

CACHE = Path(tempfile.gettempdir()) / "evolution-weights"
"""Where downloads from S3 land, one folder per origin; it lives as long as the pod."""
HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")
"""What we load of a Qwen3-VL repository; other number formats and pictures stay where they are."""


def fetch_solver(job: StageInput, cache: Path = CACHE) -> Path:
    """Folder of the weights that the stage starts from (`job.solver_key`). Raises BadInputError as `fetch` does."""
    if job.solver_key is None:
        return fetch(job.spec.model.uri, job.spec.model.revision, job.spec.storage.endpoint, cache)
    return fetch_checkpoint(run_store(job), job.uid, job.solver_key, cache)


def fetch_checkpoint(store: Store, run_uid: str, key: str, cache: Path = CACHE) -> Path:
    """Folder of the run's checkpoint under `key`, every file checked against the manifest of its training.

    Raises BadInputError where that round was never trained, CorruptError where a file is not what the manifest says.
    """
    trained = committed(store, run_uid, f"{key.rpartition('/')[0]}/manifest.json")
    if trained is None:
        raise BadInputError(f"checkpoint {key}: its training was never committed; resume the run from that round")
    lies_here = store.local_path(key)
    folder = fetch_files(store, trained, key, lies_here or cache / run_uid / key)
    check_folder(folder)
    return folder


def fetch(uri: str, revision: str | None = None, endpoint: str | None = None, cache: Path = CACHE) -> Path:
    """Folder of the model at a file://, s3:// or hf:// URI.

    `endpoint` is the URL of an S3 server other than AWS. Raises BadInputError where there is no such model, or its folder
    lacks weights or processor.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "file":
        folder = Path(rest)
    elif scheme == "s3":
        folder = _download(open_store(uri, endpoint), uri, cache)
    elif scheme == "hf":
        folder = _from_hub(rest, revision)
    else:
        raise BadInputError(
            f"model.uri {uri!r} has the scheme {scheme!r}; use hf://owner/name, s3://bucket/prefix or file:///folder"
        )
    check_folder(folder)
    return folder


def _download(store: Store, uri: str, cache: Path) -> Path:
    """Every object of the store, moved into place whole: a killed download leaves nothing that looks like a model."""
    folder = cache / hashlib.sha256(uri.encode()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    keys = store.list("")
    if not keys:
        raise BadInputError(f"model.uri {uri}: there are no objects below it; correct model.uri")
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=cache))
    try:
        for key in keys:
            store.download(key, partial / key)
        if not folder.is_dir():
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _from_hub(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(HUB_FILES)))
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        at = f" at revision {revision!r}" if revision else ""
        raise BadInputError(
            f"model.uri hf://{repository}{at} cannot be had: {error}; correct model.uri or model.revision"
        ) from error
