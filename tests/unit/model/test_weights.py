"""Where a model comes from, and what is refused in one sentence."""

from pathlib import Path
from shutil import copytree

import pytest

from evolution_jobs.model.solver import Solver
from evolution_jobs.model.weights import fetch, fetch_checkpoint
from evolution_jobs.program import BadInputError
from evolution_jobs.storage.folder import FolderStore


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


def test_a_checkpoint_in_a_folder_store_is_used_where_it_lies(tiny_folder: Path, tmp_path: Path) -> None:
    copytree(tiny_folder, tmp_path / "store" / "rounds/0001/train/checkpoint")
    store = FolderStore(tmp_path / "store")
    assert fetch_checkpoint(store, "rounds/0001/train/checkpoint", "run", tmp_path / "cache") == (
        tmp_path / "store/rounds/0001/train/checkpoint"
    )


def test_a_checkpoint_elsewhere_is_downloaded_whole_once(tiny_folder: Path, tmp_path: Path) -> None:
    class Remote(FolderStore):
        def local_path(self, key: str) -> Path | None:
            return None

    copytree(tiny_folder, tmp_path / "store" / "checkpoint")
    store = Remote(tmp_path / "store")
    first = fetch_checkpoint(store, "checkpoint", "run", tmp_path / "cache")
    store.delete("checkpoint")
    assert fetch_checkpoint(store, "checkpoint", "run", tmp_path / "cache") == first
    assert sorted(p.name for p in first.iterdir()) == sorted(p.name for p in tiny_folder.iterdir())


def test_an_empty_prefix_is_refused(tmp_path: Path) -> None:
    class Remote(FolderStore):
        def local_path(self, key: str) -> Path | None:
            return None

    (tmp_path / "store").mkdir()
    with pytest.raises(BadInputError, match="no objects"):
        fetch_checkpoint(Remote(tmp_path / "store"), "checkpoint", "run", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
