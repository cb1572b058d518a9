"""A run with prepared scenes in a folder, as its prepare stage leaves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.layout import SCENE_PLAN_KEY
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import Box, Frame, Scene, SceneObject, ScenePlan, Sighting
from evolution_storage.manifests import commit
from evolution_storage.uri import run_store

FURNITURE = ("bed", "table", "chair", "chair", "sofa", "lamp", "shelf", "desk")


def make_scene(scene_id: str, number: int) -> Scene:
    """Eight objects on a 4 x 2 grid, about 1.5 m apart, sizes and places slightly different from scene to scene.

    The camera stands before the grid, looks along y and steps along x; frame i sees the objects of columns 0 to i.
    """
    objects = []
    for i, label in enumerate(FURNITURE):
        size = (0.5 + 0.07 * ((i + number) % 4), 0.4 + 0.1 * (i % 3), 0.6)
        center = (1.7 * (i % 4) + 0.03 * ((number + i) % 5), 2.0 + 1.5 * (i // 4) + 0.1 * (number % 4), 0.3)
        objects.append(SceneObject(id=f"{label}-{i}", label=label, box=Box(center=center, size=size)))
    frames = []
    for i in range(4):
        visible = tuple(
            Sighting(object=o.id, ratio=0.8, box_px=(0, 0, 10, 10), pixels=100) for j, o in enumerate(objects) if j % 4 <= i
        )
        pose = ((1.0, 0.0, 0.0, 1.7 * i), (0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0))
        frames.append(
            Frame(file=f"{i}.png", time_s=float(i), width=16, height=12, pose=pose, intrinsics=(20, 20, 8, 6), visible=visible)
        )
    return Scene(id=scene_id, source="procedural", room_size_m2=30.0 + number, objects=tuple(objects), frames=tuple(frames))


def write_scene(root: Path, scene: Scene) -> None:
    folder = root / scene.id
    folder.mkdir(parents=True)
    (folder / "scene.json").write_text(scene.model_dump_json())
    for number, frame in enumerate(scene.frames):
        Image.new("RGB", (frame.width, frame.height), (60 * number, 90, 120)).save(folder / frame.file)


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., StageInput]:
    """Makes a run of `scenes` scenes and returns the input of its generate stage in `round_`."""

    def make(scenes: int = 4, round_: int = 1, **generation: Any) -> StageInput:
        root = tmp_path / "scenes"
        ids = [f"room-{i}" for i in range(scenes)]
        for number, scene_id in enumerate(ids):
            if not (root / scene_id).exists():
                write_scene(root, make_scene(scene_id, number))
        spec = EvolutionRunSpec.model_validate(
            {
                "model": {"uri": "file:///nowhere"},
                "scenes": {"uri": f"file://{root}", "framesPerScene": 4},
                "storage": {"uri": f"file://{tmp_path / 'storage'}"},
                "generation": {"shards": 2, "questionsPerScene": 8, **generation},
            }
        )
        job = StageInput(namespace="default", run="test", uid="uid-1", stage="prepare", round=0, spec=spec)
        plan = ScenePlan(root_uri=f"file://{root}", train=tuple(ids), heldout=())
        commit(run_store(job), job, {SCENE_PLAN_KEY: plan.model_dump_json().encode()}, stage_summary("prepare"))
        return job.model_copy(update={"stage": "generate", "round": round_})

    return make


@pytest.fixture
def scenes_folder(tmp_path: Path) -> Path:
    return tmp_path / "scenes"


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Every stored object of the run by key."""

    def read() -> dict[str, bytes]:
        root = tmp_path / "storage" / "default" / "test" / "uid-1"
        return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}

    return read
