"""What the renderer shows against geometry worked out by hand."""

import numpy as np
import pytest

from evolution_api.scene import Scene
from evolution_jobs.scenes.furniture import CATEGORIES
from evolution_jobs.scenes.meshes import box_mesh, furniture_mesh, join
from evolution_jobs.scenes.render import draw, make_scene
from evolution_jobs.scenes.rooms import look_at

UPRIGHT = np.eye(3)
CAMERA = (100.0, 100.0, 50.0, 50.0)  # fx, fy, cx, cy of a 100x100 image: 2 * atan(1/2) wide
NORTH = look_at((0, 0, 0), (0, 1, 0))[None]


def test_a_box_of_known_size_at_known_distance_covers_the_pixels_that_geometry_says() -> None:
    # Front face 1 m x 0.5 m, 5 m away, focal length 100 px: 20 x 10 px around the image's centre.
    box = box_mesh((0, 5.5, 0), (1.0, 1.0, 0.5), UPRIGHT, (1, 0, 0), 0)
    (seen,) = draw(box, NORTH, CAMERA, 100, 100).sightings
    assert seen == ((0, 1.0, (40.0, 45.0, 60.0, 55.0), 200),)


def test_right_is_right_and_up_is_up_in_the_image() -> None:
    box = box_mesh((1.0, 5.5, 0.8), (0.4, 1.0, 0.4), UPRIGHT, (1, 0, 0), 0)
    ((_, _, (left, top, right, bottom), _),) = draw(box, NORTH, CAMERA, 100, 100).sightings[0]
    assert left == pytest.approx(50 + 100 * 0.8 / 6, abs=1)  # its far left edge is seen past the front's
    assert right == pytest.approx(50 + 100 * 1.2 / 5, abs=1)
    assert top == pytest.approx(50 - 100 * 1.0 / 5, abs=1)
    assert bottom == pytest.approx(50 - 100 * 0.6 / 6, abs=1)


def test_an_object_half_hidden_by_another_has_ratio_one_half() -> None:
    behind = box_mesh((0, 5.5, 0), (1.0, 1.0, 0.5), UPRIGHT, (1, 0, 0), 0)
    screen = box_mesh((-1.0, 2.5, 0), (2.0, 0.01, 2.0), UPRIGHT, (0, 1, 0), 1)  # covers everything left of the middle
    (seen,) = draw(join([behind, screen]), NORTH, CAMERA, 100, 100).sightings
    assert seen[0] == (0, 0.5, (50.0, 45.0, 60.0, 55.0), 100)


def test_an_object_half_outside_the_image_has_ratio_one_half() -> None:
    # Its front spans x from 2 to 3 m at 5 m: 90 to 110 px, of which the image has the first ten.
    box = box_mesh((2.5, 5.0005, 0), (1.0, 0.001, 0.5), UPRIGHT, (1, 0, 0), 0)
    (seen,) = draw(box, NORTH, CAMERA, 100, 100).sightings
    assert seen == ((0, 0.5, (90.0, 45.0, 100.0, 55.0), 100),)


def test_a_large_object_is_measured_on_a_coarser_grid_to_two_percent() -> None:
    wide = box_mesh((0, 2.0005, 0), (1.8, 0.001, 1.8), UPRIGHT, (1, 0, 0), 0)  # 90 x 90 px
    screen = box_mesh((-1.0, 1.0, 0), (2.0, 0.001, 4.0), UPRIGHT, (0, 1, 0), 1)
    (seen,) = draw(join([wide, screen]), NORTH, CAMERA, 100, 100).sightings
    assert seen[0][1] == pytest.approx(0.5, abs=0.02)


def test_what_is_hidden_altogether_or_behind_the_camera_is_not_sighted() -> None:
    hidden = box_mesh((0, 6, 0), (0.5, 0.5, 0.5), UPRIGHT, (1, 0, 0), 0)
    behind = box_mesh((0, -3, 0), (0.5, 0.5, 0.5), UPRIGHT, (1, 0, 0), 1)
    screen = box_mesh((0, 3, 0), (3, 0.1, 3), UPRIGHT, (0, 1, 0), 2)
    (seen,) = draw(join([hidden, behind, screen]), NORTH, CAMERA, 100, 100).sightings
    assert [s[0] for s in seen] == [2]


def test_an_object_around_the_camera_is_no_error() -> None:
    box = box_mesh((0, 0, -0.5), (4, 4, 0.5), UPRIGHT, (1, 0, 0), 0)
    ((_, ratio, _, pixels),) = draw(box, NORTH, CAMERA, 100, 100).sightings[0]
    assert pixels > 0
    assert 0 < ratio < 1


def test_frames_drawn_in_several_casts_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make_scene(4, 5, 32, 32)
    monkeypatch.setattr("evolution_jobs.scenes.render.RAYS_AT_ONCE", 2 * 32 * 32)
    parts = make_scene(4, 5, 32, 32)
    assert parts[0] == whole[0]
    assert all(np.array_equal(a, b) for a, b in zip(parts[1], whole[1], strict=True))


def test_colours_are_the_objects_own_and_nothing_is_black() -> None:
    box = box_mesh((0, 5.5, 0), (1.0, 1.0, 0.5), UPRIGHT, (1, 0, 0), 0)
    (image,) = draw(box, NORTH, CAMERA, 100, 100).images
    assert (image.shape, image.dtype) == ((100, 100, 3), np.uint8)
    red, green, blue = image[50, 50]
    assert red > 100
    assert (green, blue) == (0, 0)
    assert not image[0, 0].any()


@pytest.mark.parametrize("label", CATEGORIES)
def test_every_category_can_be_drawn_and_fills_most_of_its_silhouette(label: str) -> None:
    mesh = furniture_mesh(label, "red", (0, 3, 0), (1, 1, 1), UPRIGHT @ np.diag([-1, -1, 1]), 0)
    assert mesh.vertices.min(axis=0) == pytest.approx((-0.5, 2.5, -0.5), abs=1e-5)
    assert mesh.vertices.max(axis=0) == pytest.approx((0.5, 3.5, 0.5), abs=1e-5)
    ((_, ratio, _, pixels),) = draw(mesh, NORTH, CAMERA, 100, 100).sightings[0]
    assert ratio == pytest.approx(1.0, abs=0.06)
    assert pixels > 80


def test_a_scene_is_the_same_for_the_same_seed_pixel_by_pixel() -> None:
    first, second = make_scene(11), make_scene(11)
    assert first[0] == second[0]
    assert all(np.array_equal(a, b) for a, b in zip(first[1], second[1], strict=True))


def test_a_made_scene_obeys_the_contract_and_has_what_questions_need() -> None:
    scene, images = make_scene(5, 6, 64, 48)
    assert Scene.model_validate_json(scene.model_dump_json()) == scene
    assert len(scene.frames) == len(images) == 6
    assert all(i.shape == (48, 64, 3) for i in images)
    assert all(f.pose is not None and f.intrinsics is not None and f.visible is not None for f in scene.frames)
    assert scene.benchmark is None
    assert scene.room_size_m2 is not None


def test_an_objects_pixels_lie_where_its_box_projects() -> None:
    for seed in range(6):
        scene, _ = make_scene(seed, 6, 64, 64)
        boxes = {o.id: o.box for o in scene.objects}
        for frame in scene.frames:
            assert frame.pose is not None
            assert frame.intrinsics is not None
            pose, (fx, fy, cx, cy) = np.array(frame.pose), frame.intrinsics
            for sighting in frame.visible or ():
                box = boxes[sighting.object]
                signs = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
                camera = ((signs * box.size) @ np.array(box.axes) + box.center - pose[:3, 3]) @ pose[:3, :3]
                if camera[:, 2].min() < 0.05:
                    continue
                u, v = fx * camera[:, 0] / camera[:, 2] + cx, fy * camera[:, 1] / camera[:, 2] + cy
                left, top, right, bottom = sighting.box_px
                assert u.min() - 1 <= left
                assert right <= u.max() + 1
                assert v.min() - 1 <= top
                assert bottom <= v.max() + 1
                assert sighting.pixels <= (right - left) * (bottom - top)


def test_most_objects_of_most_rooms_are_seen_in_six_frames() -> None:
    total = seen = 0
    for seed in range(20):
        scene, _ = make_scene(seed)
        best: dict[str, float] = {}
        for frame in scene.frames:
            for s in frame.visible or ():
                best[s.object] = max(best.get(s.object, 0.0), s.ratio)
        total += len(scene.objects)
        seen += sum(r >= 0.5 for r in best.values())
    assert seen / total > 0.85


def test_a_room_of_chosen_furniture_counts_what_it_has_not() -> None:
    scene, _ = make_scene(3, furniture=("bed", "chair", "lamp", "sofa"))
    assert scene.counts is not None
    assert set(scene.counts) == {"bed", "chair", "lamp", "sofa"}
    assert sum(scene.counts.values()) == len(scene.objects)
    assert make_scene(3)[0].counts is None
