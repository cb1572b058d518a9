"""The official metadata as scenes, and the layout drawn from it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolution_api.scene import Scene
from evolution_jobs.scenes.library import SceneError, SceneLibrary
from evolution_jobs.scenes.prepare import prepare_vsibench
from evolution_jobs.scenes.vsibench import box_corners, layout_scene, scenes_from_metadata, walls_of

BOX = {"centroid": [1.0, 2.0, 0.5], "axesLengths": [2.0, 1.0, 1.0], "normalizedAxes": [0, 1, 0, -1, 0, 0, 0, 0, 1]}
ENTRY: dict[str, Any] = {
    "room_size": 12.0,
    "room_center": [1.0, 2.0, 1.2],
    "object_counts": {"bed": 1, "trash bin": 2},
    "object_bbox": {"bed": [BOX], "trash bin": [{**BOX, "centroid": [3.0, 2.0, 0.5]}, {**BOX, "centroid": [-1.5, 1.0, 0.5]}]},
    "dataset": "test",
    "video_path": "none",
}


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    folder = tmp_path / "metadata"
    folder.mkdir()
    (folder / "test_meta_info_val.json").write_text(json.dumps({"scene0000_00": ENTRY, "41069025": ENTRY}))
    return folder


def test_all_3197_official_boxes_reproduce_their_official_min_and_max(real_data: Path) -> None:
    scenes = scenes_from_metadata(real_data / "vsibench")
    checked = 0
    for file in sorted((real_data / "vsibench/meta").glob("*.json")):
        for name, entry in json.loads(file.read_bytes()).items():
            official = [box for boxes in entry["object_bbox"].values() for box in boxes]
            assert len(official) == len(scenes[name].objects)
            for box, thing in zip(official, scenes[name].objects, strict=True):
                corners = box_corners(thing.box)
                assert np.allclose(corners.min(axis=0), box["min"], atol=1e-5)
                assert np.allclose(corners.max(axis=0), box["max"], atol=1e-5)
                checked += 1
    assert (len(scenes), checked) == (288, 3197)


def test_a_scene_carries_official_counts_size_and_the_benchmarks_name(metadata: Path) -> None:
    scene = scenes_from_metadata(metadata)["scene0000_00"]
    assert (scene.source, scene.benchmark) == ("vsibench", "vsi-bench")
    assert (scene.room_size_m2, scene.room_center) == (12.0, (1.0, 2.0, 1.2))
    assert scene.counts == {"bed": 1, "trash bin": 2}
    assert [(o.id, o.label) for o in scene.objects] == [
        ("bed-1", "bed"),
        ("trash-bin-1", "trash bin"),
        ("trash-bin-2", "trash bin"),
    ]
    assert scene.frames == ()


def test_rows_of_the_official_axes_are_the_boxes_axes(metadata: Path) -> None:
    bed = scenes_from_metadata(metadata)["scene0000_00"].objects[0]
    corners = box_corners(bed.box)  # 2 m long along its first axis, which is the world's y
    assert corners.min(axis=0) == pytest.approx((0.5, 1.0, 0.0))
    assert corners.max(axis=0) == pytest.approx((1.5, 3.0, 1.0))


def test_one_file_can_be_named_instead_of_its_folder(metadata: Path) -> None:
    assert scenes_from_metadata(metadata / "test_meta_info_val.json") == scenes_from_metadata(metadata)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "holds no", id="no-file"),
        pytest.param('{"a": ', "no VSI-Bench metadata", id="broken-json"),
        pytest.param('{"a": {"room_size": 3}}', "missing field 'object_bbox'", id="missing-field"),
        pytest.param("[1]", "no VSI-Bench metadata", id="a-list"),
        pytest.param(
            json.dumps({"a": {**ENTRY, "object_bbox": {"bed": [{**BOX, "axesLengths": [1, -1, 1]}]}}}),
            "not above 0",
            id="negative-box",
        ),
    ],
)
def test_metadata_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "x_meta_info_val.json").write_text(content)
    with pytest.raises(SceneError, match=words):
        scenes_from_metadata(tmp_path)


def test_the_walls_enclose_every_box_and_the_official_area(metadata: Path) -> None:
    scene = scenes_from_metadata(metadata)["scene0000_00"]
    area, floor_z, ceiling_m = walls_of(scene)
    for thing in scene.objects:
        corners = box_corners(thing.box)
        assert (corners[:, 0] > area.x0).all()
        assert (corners[:, 0] < area.x1).all()
        assert (corners[:, 1] > area.y0).all()
        assert (corners[:, 1] < area.y1).all()
        assert (corners[:, 2] > floor_z).all()
        assert (corners[:, 2] < floor_z + ceiling_m).all()
    assert area.area >= 12.0


def test_the_drawn_layout_has_poses_inside_the_walls_and_visibility(metadata: Path) -> None:
    scene, images = layout_scene(scenes_from_metadata(metadata)["scene0000_00"], 6, 64, 48)
    area, *_ = walls_of(scene)
    assert [i.shape for i in images] == [(48, 64, 3)] * 6
    assert all(i.any(axis=2).all() for i in images)  # every ray meets a wall or a thing
    for frame in scene.frames:
        assert frame.pose is not None
        assert area.x0 < frame.pose[0][3] < area.x1
        assert area.y0 < frame.pose[1][3] < area.y1
    assert {s.object for f in scene.frames for s in f.visible or ()} == {"bed-1", "trash-bin-1", "trash-bin-2"}
    assert Scene.model_validate_json(scene.model_dump_json()) == scene


def test_prepared_layouts_are_written_and_read_back(metadata: Path, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/out"
    assert prepare_vsibench(metadata, uri, limit=1, frames=3, width=32, height=24) == ["41069025"]
    library = SceneLibrary(uri)
    assert library.ids() == ["41069025"]
    library.check("41069025", library.scene("41069025"))
    assert len(library.scene("41069025").frames) == 3


def test_without_rendering_scenes_have_no_frames(metadata: Path, tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/out"
    assert len(prepare_vsibench(metadata, uri, render=None)) == 2
    assert SceneLibrary(uri).scene("scene0000_00").frames == ()


def test_several_real_rooms_can_be_drawn(real_data: Path) -> None:
    scenes = scenes_from_metadata(real_data / "vsibench")
    for name in sorted(scenes)[::48]:
        scene, _ = layout_scene(scenes[name], 6, 32, 32)
        assert any(f.visible for f in scene.frames), name
