"""Where a model comes from, and what is refused in one sentence."""

from pathlib import Path
from shutil import copytree

import pytest
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.run.spec import EvolutionRunSpec
from evolution_jobs.model.solver import Solver
from evolution_jobs.model.weights import _download, fetch, fetch_checkpoint
from evolution_jobs.program import BadInputError
from evolution_storage.folder import FolderStore
from evolution_storage.manifests import commit
from evolution_storage.store import CorruptError


def test_a_folder_is_used_where_it_lies(tiny_folder: Path) -> None:
    assert fetch(f"file://{tiny_folder}") == tiny_folder


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        pytest.param("config.json", "no config.json", id="no model at all"),
        pytest.param("model.safetensors", "no weights", id="no weights"),
        pytest.param("processor_config.json", "no processor", id="no processor"),
        pytest.param("tokenizer_config.json", "no processor", id="no tokenizer"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_in_one_sentence(tiny_folder: Path, tmp_path: Path, gone: str, said: str) -> None:
    folder = tmp_path / "model"
    copytree(tiny_folder, folder)
    (folder / gone).unlink()
    with pytest.raises(BadInputError, match=said) as refused:
        fetch(f"file://{folder}")
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="does not exist"):
        fetch(f"file://{tmp_path / 'nothing'}")


def test_weights_cut_short_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    copytree(tiny_folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadInputError, match="does not open as a Qwen3-VL"):
        Solver.load(folder, "float32", "cpu")


KEY = "rounds/0001/train/checkpoint"


class Remote(FolderStore):
    """A store whose objects are no files of this machine, as far as anybody can tell."""

    def local_path(self, key: str) -> Path | None:
        return None


def with_checkpoint(store: FolderStore, model: Path) -> FolderStore:
    spec = {"model": {"uri": "file:///m"}, "scenes": {"procedural": {}}, "storage": {"uri": "file:///s"}}
    job = StageInput(namespace="default", run="r", uid="u1", stage="train", round=1, spec=EvolutionRunSpec.model_validate(spec))
    commit(store, job, {f"{KEY}/{path.name}": path for path in model.iterdir()}, stage_summary("train"))
    return store


def test_a_checkpoint_in_a_folder_store_is_used_where_it_lies(tiny_folder: Path, tmp_path: Path) -> None:
    store = with_checkpoint(FolderStore(tmp_path / "store"), tiny_folder)
    assert fetch_checkpoint(store, "u1", KEY, tmp_path / "cache") == tmp_path / "store" / KEY


def test_a_checkpoint_elsewhere_is_downloaded_once(tiny_folder: Path, tmp_path: Path) -> None:
    store = with_checkpoint(Remote(tmp_path / "store"), tiny_folder)
    first = fetch_checkpoint(store, "u1", KEY, tmp_path / "cache")
    store.delete(KEY)
    assert fetch_checkpoint(store, "u1", KEY, tmp_path / "cache") == first
    assert sorted(p.name for p in first.iterdir()) == sorted(p.name for p in tiny_folder.iterdir())


@pytest.mark.parametrize("kind", [FolderStore, Remote], ids=["where it lies", "downloaded"])
def test_a_checkpoint_that_is_not_what_its_manifest_says_is_refused(tiny_folder: Path, tmp_path: Path, kind: type) -> None:
    store = with_checkpoint(kind(tmp_path / "store"), tiny_folder)
    store.write(f"{KEY}/config.json", b"{}")
    with pytest.raises(CorruptError, match=r"config\.json has sha256"):
        fetch_checkpoint(store, "u1", KEY, tmp_path / "cache")


def test_a_checkpoint_that_was_never_committed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="never committed"):
        fetch_checkpoint(FolderStore(tmp_path), "u1", KEY, tmp_path / "cache")


def test_an_empty_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(BadInputError, match="no objects"):
        _download(Remote(tmp_path / "store"), "s3://bucket/model", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_model_on_s3_is_downloaded_whole_once(tiny_folder: Path, tmp_path: Path) -> None:
    store = Remote(tmp_path / "store")
    for path in tiny_folder.iterdir():
        store.upload(path.name, path)
    first = _download(store, "s3://bucket/model", tmp_path / "cache")
    store.delete("")
    assert _download(store, "s3://bucket/model", tmp_path / "cache") == first
    assert sorted(p.name for p in first.iterdir()) == sorted(p.name for p in tiny_folder.iterdir())
