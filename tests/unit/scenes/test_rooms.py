"""Rooms by seed: plausible, complete, and the same every time."""

import itertools
import math

import numpy as np
import pytest

from evolution_jobs.scenes.furniture import CATALOGUE, CATEGORIES, PALETTE, STYLES
from evolution_jobs.scenes.rooms import (
    HELDOUT_SEED_OFFSET,
    PRETRAINING_SEED,
    Piece,
    camera_walk,
    intrinsics,
    look_at,
    make_room,
)

ROOMS = [make_room(seed, objects_min=4, objects_max=10) for seed in range(60)]


def test_the_same_seed_gives_the_same_room_and_another_seed_another() -> None:
    assert make_room(7) == make_room(7)
    assert make_room(7) != make_room(8)


def test_the_number_of_frames_does_not_move_the_furniture_or_the_first_pose() -> None:
    room = make_room(7)
    assert np.array_equal(camera_walk(room, 4)[0], camera_walk(room, 9)[0])


@pytest.mark.parametrize(("least", "most"), [(1, 1), (4, 8), (12, 14)])
def test_rooms_hold_as_many_objects_as_asked_for(least: int, most: int) -> None:
    assert all(least <= len(make_room(s, objects_min=least, objects_max=most).pieces) <= most for s in range(30))


def test_rooms_differ_in_counts_areas_and_styles() -> None:
    counts = {sum(p.label == label for p in room.pieces) for room in ROOMS for label in {p.label for p in room.pieces}}
    assert counts >= {1, 2, 3, 4, 5}
    assert {len(room.areas) for room in ROOMS} == {1, 2}
    assert len({room.style for room in ROOMS}) == len(STYLES)


def test_furniture_stands_inside_an_area_and_on_nothing_but_supports() -> None:
    for room in ROOMS:
        for piece in room.pieces:
            x0, y0, z0, x1, y1, z1 = piece.bounds()
            assert any(a.x0 <= x0 and a.y0 <= y0 and x1 <= a.x1 and y1 <= a.y1 for a in room.areas)
            assert z0 >= -1e-9
            assert z1 <= room.height


def test_no_two_pieces_overlap() -> None:
    for room in ROOMS:
        for a, b in itertools.combinations(room.pieces, 2):
            first, second = a.bounds(), b.bounds()
            shared = [min(first[i + 3], second[i + 3]) - max(first[i], second[i]) for i in range(3)]
            assert min(shared) <= 1e-9, f"seed {room.seed}: {a.id} and {b.id}"


def test_the_camera_stays_in_the_room_and_out_of_tall_furniture() -> None:
    for room in ROOMS:
        for x, y, z in camera_walk(room, 8)[:, :3, 3]:
            assert any(a.x0 < x < a.x1 and a.y0 < y < a.y1 for a in room.areas)
            for piece in room.pieces:
                x0, y0, z0, x1, y1, z1 = piece.bounds()
                assert not (x0 < x < x1 and y0 < y < y1 and z0 < z < z1), f"seed {room.seed}: inside {piece.id}"


def test_a_camera_that_looks_north_has_east_to_its_right_and_the_floor_below() -> None:
    pose = look_at((1.0, 2.0, 1.5), (1.0, 5.0, 1.5))
    assert np.allclose(pose[:3, 0], (1, 0, 0))  # x right
    assert np.allclose(pose[:3, 1], (0, 0, -1))  # y down
    assert np.allclose(pose[:3, 2], (0, 1, 0))  # z forward
    assert np.allclose(pose[:3, 3], (1, 2, 1.5))
    assert math.isclose(np.linalg.det(pose[:3, :3]), 1.0)


def test_the_view_is_eighty_degrees_wide() -> None:
    fx, fy, cx, cy = intrinsics(64, 48)
    assert math.degrees(2 * math.atan(32 / fx)) == pytest.approx(80)
    assert (fy, cx, cy) == (fx, 32, 24)


def test_a_turned_pieces_bounds_follow_its_yaw() -> None:
    piece = Piece("p", "table", "brown", 1.0, (0, 0, 0.5), (2.0, 1.0, 1.0), math.pi / 2)
    assert piece.bounds() == pytest.approx((-0.5, -1.0, 0.0, 0.5, 1.0, 1.0))
    # Its front (+y) was turned to -x, so free space before it is there.
    assert piece.bounds(front_m=0.3) == pytest.approx((-0.8, -1.0, 0.0, 0.5, 1.0, 1.0))


def test_categories_colours_and_styles_can_be_left_out() -> None:
    for seed in range(30):
        room = make_room(seed, ["chair", "lamp", "sofa"], 3, 6, colours=["teal", "red"], styles=["oak", "mint"])
        assert {p.label for p in room.pieces} <= {"chair", "lamp", "sofa"}
        assert {p.colour for p in room.pieces if p.label == "chair"} <= {"teal"}
        assert {p.colour for p in room.pieces if p.label == "lamp"} <= set(
            CATALOGUE["lamp"].colours
        )  # has neither: keeps its own
        assert room.style in ("oak", "mint")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"furniture": ["chair", "throne"]}, "throne", id="unknown-furniture"),
        pytest.param({"furniture": []}, "empty", id="no-furniture"),
        pytest.param({"styles": ["gothic"]}, "gothic", id="unknown-style"),
        pytest.param({"objects_min": 5, "objects_max": 4}, "5 to 4", id="least-above-most"),
        pytest.param(
            {"furniture": ["fireplace"], "objects_min": 3, "objects_max": 3}, "do not fit", id="more-than-a-category-allows"
        ),
    ],
)
def test_what_the_catalogue_cannot_give_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_room(0, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("label", CATEGORIES)
def test_every_category_fills_its_box_and_names_colours_that_exist(label: str) -> None:
    category = CATALOGUE[label]
    for axis in range(3):
        assert min(p.low[axis] for p in category.parts) == 0
        assert max(p.high[axis] for p in category.parts) == 1
    assert all(p.low[axis] < p.high[axis] for p in category.parts for axis in range(3))
    assert {*category.colours, *(p.paint for p in category.parts if p.paint)} <= set(PALETTE)


def test_seed_ranges_of_runs_and_of_pretraining_are_disjoint() -> None:
    largest_run_seed, most_rooms = 2**31 - 1, 100_000
    assert most_rooms < HELDOUT_SEED_OFFSET
    assert largest_run_seed * 2 * HELDOUT_SEED_OFFSET + HELDOUT_SEED_OFFSET + most_rooms < PRETRAINING_SEED
