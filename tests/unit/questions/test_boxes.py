"""Distances between oriented boxes against hand-computed cases and brute force."""

import math
import random

import numpy as np
import pytest

from evolution_api.scene import Box
from evolution_jobs.questions.boxes import SIGNS, GridTooLargeError, Solid, closest_distance, overlap, vsi_distance, vsi_points

R = math.sqrt(0.5)
TURNED = ((R, R, 0.0), (-R, R, 0.0), (0.0, 0.0, 1.0))  # 45 degrees about z
TIPPED = ((1.0, 0.0, 0.0), (0.0, R, R), (0.0, -R, R))  # 45 degrees about x
CUBE = Box(center=(0, 0, 0), size=(2, 2, 2))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(Box(center=(4, 0, 0), size=(2, 2, 2)), 2.0, id="face to face"),
        pytest.param(Box(center=(5, 5, 0), size=(2, 2, 2)), math.hypot(3, 3), id="edge to parallel edge"),
        pytest.param(Box(center=(3, 4, 5), size=(2, 2, 2)), math.hypot(1, 2, 3), id="corner to corner"),
        pytest.param(Box(center=(4, 0, 0), size=(2, 2, 2), axes=TURNED), 3 - math.sqrt(2), id="edge to face"),
        pytest.param(
            Box(center=(4, 0, 4), size=(2, 2, 2), axes=((R, 0, R), (0, 1, 0), (-R, 0, R))),
            4 * math.sqrt(2) - 1 - math.sqrt(2),
            id="face to an edge far away on the diagonal",
        ),
        pytest.param(
            Box(center=(0, 0, 1 + 3 + math.sqrt(2)), size=(40, 2, 2), axes=TIPPED),
            3.0,
            id="long edge over a face, no corner near",
        ),
        pytest.param(Box(center=(1.5, 0, 0), size=(2, 2, 2)), 0.0, id="overlapping"),
        pytest.param(Box(center=(2, 0, 0), size=(2, 2, 2)), 0.0, id="touching"),
        pytest.param(Box(center=(0, 0, 0), size=(0.5, 0.5, 0.5)), 0.0, id="one inside the other"),
        pytest.param(Box(center=(0, 0, 0), size=(40, 0.2, 0.2)), 0.0, id="a beam through, no corner inside either"),
    ],
)
def test_the_closest_distance_of_two_boxes_is_exact(other: Box, expected: float) -> None:
    assert closest_distance(Solid(CUBE), Solid(other)) == pytest.approx(expected, abs=1e-12)
    assert closest_distance(Solid(other), Solid(CUBE)) == pytest.approx(expected, abs=1e-12)


def test_two_crossed_edges_are_closest_inside_both() -> None:
    # One cube stands on an edge along x, the other hangs above by an edge along y: the two edges cross 1 m apart.
    below = Box(center=(0, 0, 0), size=(2, 2, 2), axes=TIPPED)
    above = Box(center=(0.3, 0.2, 1 + 2 * math.sqrt(2)), size=(2, 2, 2), axes=((R, 0, R), (0, 1, 0), (-R, 0, R)))
    assert closest_distance(Solid(below), Solid(above)) == pytest.approx(1.0, abs=1e-12)


def test_random_boxes_agree_with_descent_between_the_two_solids() -> None:
    rng = random.Random(0)
    for _ in range(20):
        boxes = []
        for _ in range(2):
            q, _r = np.linalg.qr(np.array([[rng.gauss(0, 1) for _ in range(3)] for _ in range(3)]))
            q[2] *= np.linalg.det(q)
            boxes.append(
                Box(
                    center=tuple(rng.uniform(-2, 2) for _ in range(3)),
                    size=tuple(rng.uniform(0.2, 2) for _ in range(3)),
                    axes=tuple(map(tuple, q.tolist())),
                )
            )
        a, b = map(Solid, boxes)
        point = np.zeros(3)
        for _ in range(1500):  # alternating projections converge to the closest pair of two convex bodies
            point = _nearest_in(b, _nearest_in(a, point))
        expected = float(np.linalg.norm(_nearest_in(a, point) - point))
        assert closest_distance(a, b) == pytest.approx(expected, abs=2e-3)
        assert overlap(a, b) == (closest_distance(a, b) == 0)


def _nearest_in(solid: Solid, point: np.ndarray) -> np.ndarray:
    local = np.clip((point - solid.center) @ solid.axes.T, -solid.half, solid.half)
    return local @ solid.axes + solid.center


def test_corners_follow_rows_as_axes() -> None:
    corners = Solid(Box(center=(1, 0, 0), size=(2, 4, 6), axes=((0, 1, 0), (-1, 0, 0), (0, 0, 1)))).corners
    first = corners[SIGNS.tolist().index([0.5, 0.5, 0.5])]
    assert first.tolist() == [-1.0, 1.0, 3.0]  # 1 along y for the first edge, 2 against x for the second


def test_the_vsi_grid_leaves_out_the_inner_half_box() -> None:
    points = vsi_points(Box(center=(0, 0, 0), size=(0.2, 0.2, 0.2)))
    assert len(points) == 4**3 - 2**3  # four points a side at 0.1 and 0.0333; those at 0.0333 lie within 0.05
    assert np.abs(points).max() == 0.1


def test_the_vsi_distance_is_that_of_the_grids() -> None:
    assert vsi_distance(Box(center=(0, 0, 0), size=(1, 1, 1)), Box(center=(3, 0, 0), size=(1, 1, 1))) == pytest.approx(2.0)


def test_a_box_too_large_for_the_vsi_grid_is_refused() -> None:
    with pytest.raises(GridTooLargeError, match="is no object"):
        vsi_points(Box(center=(0, 0, 0), size=(10, 10, 10)))
