"""A small prepared scene on disk, made once and copied into each test's own folder."""

import shutil
from pathlib import Path

import pytest

from evolution_jobs.scenes.library import SceneLibrary
from evolution_jobs.scenes.prepare import write_scene
from evolution_jobs.scenes.render import make_scene
from evolution_storage.folder import FolderStore


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pristine")
    for seed in range(3):
        write_scene(FolderStore(root), *make_scene(seed, 4, 48, 32, scene_id=f"room-{seed}"))
    return root


@pytest.fixture
def root(pristine: Path, tmp_path: Path) -> Path:
    """Three valid scenes of four 48x32 frames: room-0, room-1, room-2."""
    return Path(shutil.copytree(pristine, tmp_path / "scenes"))


@pytest.fixture
def library(root: Path) -> SceneLibrary:
    return SceneLibrary(f"file://{root}")
