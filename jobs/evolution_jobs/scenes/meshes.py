"""Rooms as triangles: primitives, furniture put together from them, walls with openings; `render` casts rays at the result."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evolution_jobs.scenes.furniture import CATALOGUE, PALETTE, STYLES, Part
from evolution_jobs.scenes.rooms import OPENING_HEIGHT_M, Opening, Piece, Rect, Room

Floats = NDArray[np.float32]
Ints = NDArray[np.uint32]

SIDES = 10
"""Corners of what is round."""
TAPER = 0.5
"""Radius of a taper's upper end over its base."""
Pattern = Literal["plain", "planks", "tiles", "stripes"]
PATTERNS: tuple[Pattern, ...] = ("plain", "planks", "tiles", "stripes")
SHELL = -1
"""Owner of walls, floor and ceiling."""

_CORNERS = np.array([(x, y, z) for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=np.float32)
_BOX_FACES = np.array(
    [(0, 2, 3), (0, 3, 1), (4, 5, 7), (4, 7, 6), (0, 1, 5), (0, 5, 4),
     (2, 6, 7), (2, 7, 3), (0, 4, 6), (0, 6, 2), (1, 3, 7), (1, 7, 5)],
    dtype=np.uint32,
)  # fmt: skip


@dataclass(frozen=True)
class Mesh:
    """Coloured triangles, each owned by an object (its index) or by the room's shell."""

    vertices: Floats  # (V, 3) metres
    triangles: Ints  # (T, 3)
    colours: Floats  # (T, 3), 0..1
    owner: NDArray[np.int32]  # (T,)
    pattern: NDArray[np.uint8]  # (T,), index into PATTERNS


def join(meshes: Sequence[Mesh]) -> Mesh:
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]], dtype=np.uint32)
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + o for m, o in zip(meshes, offsets, strict=True)]),
        np.concatenate([m.colours for m in meshes]),
        np.concatenate([m.owner for m in meshes]),
        np.concatenate([m.pattern for m in meshes]),
    )


def box_mesh(
    center: Sequence[float], size: Sequence[float], axes: NDArray[np.float64], colour: Sequence[float], owner: int
) -> Mesh:
    """One oriented box; `axes` (3, 3) has the box's axes as rows."""
    vertices = ((_CORNERS - 0.5) * np.asarray(size, dtype=np.float32)) @ axes.astype(np.float32) + np.asarray(
        center, dtype=np.float32
    )
    return _of_one_owner(vertices.astype(np.float32), _BOX_FACES, np.tile(np.asarray(colour, dtype=np.float32), (12, 1)), owner)


def room_mesh(room: Room) -> Mesh:
    """The whole room; object i owns the triangles of `room.pieces[i]`."""
    return join(
        [shell_mesh(room.areas, room.openings, room.height, room.style)] + [_piece_mesh(p, i) for i, p in enumerate(room.pieces)]
    )


def shell_mesh(areas: Sequence[Rect], openings: Sequence[Opening], height: float, style_name: str, floor_z: float = 0.0) -> Mesh:
    """Floor, ceiling and walls; `height` is that of the ceiling above the floor."""
    style = STYLES[style_name]
    wall, floor = (np.array(PALETTE[c], dtype=np.float32) for c in (style.walls, style.floor))
    ceiling = 0.5 + 0.5 * wall
    quads: list[tuple[NDArray[np.float32], Floats, str]] = []
    top = floor_z + height

    def flat(r: Rect, z: float, colour: Floats, pattern: str) -> None:
        quads.append(
            (np.array([(r.x0, r.y0, z), (r.x1, r.y0, z), (r.x1, r.y1, z), (r.x0, r.y1, z)], dtype=np.float32), colour, pattern)
        )

    def upright(x0: float, y0: float, x1: float, y1: float, z0: float, z1: float) -> None:
        corners = np.array([(x0, y0, z0), (x1, y1, z0), (x1, y1, z1), (x0, y0, z1)], dtype=np.float32)
        quads.append((corners, wall, style.wall_pattern))

    for area in areas:
        flat(area, floor_z, floor, style.floor_pattern)
        flat(area, top, ceiling, "plain")
        upright(area.x0, area.y0, area.x1, area.y0, floor_z, top)
        upright(area.x0, area.y1, area.x1, area.y1, floor_z, top)
        for x in (area.x0, area.x1):
            gap = next((o for o in openings if o.x == x), None)
            if gap is None:
                upright(x, area.y0, x, area.y1, floor_z, top)
            else:
                upright(x, area.y0, x, gap.y0, floor_z, top)
                upright(x, gap.y1, x, area.y1, floor_z, top)
                upright(x, gap.y0, x, gap.y1, floor_z + OPENING_HEIGHT_M, top)
    n = len(quads)
    faces = np.array([(0, 1, 2), (0, 2, 3)], dtype=np.uint32)
    return Mesh(
        np.concatenate([q[0] for q in quads]),
        (faces[None] + 4 * np.arange(n, dtype=np.uint32)[:, None, None]).reshape(-1, 3),
        np.repeat(np.stack([q[1] for q in quads]), 2, axis=0),
        np.full(2 * n, SHELL, dtype=np.int32),
        np.repeat(np.array([PATTERNS.index(q[2]) for q in quads], dtype=np.uint8), 2),
    )


def furniture_mesh(
    label: str,
    colour: str,
    center: Sequence[float],
    size: Sequence[float],
    axes: NDArray[np.float64],
    owner: int,
    tint: float = 1.0,
) -> Mesh:
    """A piece of the catalogue in a box; `axes` (3, 3) has its width, depth (back to front) and height axes as rows."""
    unit, triangles, colours = _category_mesh(label, colour)
    vertices = ((unit - 0.5) * np.array(size)) @ axes + np.array(center)
    return _of_one_owner(vertices.astype(np.float32), triangles, np.clip(colours * np.float32(tint), 0, 1), owner)


def _piece_mesh(piece: Piece, owner: int) -> Mesh:
    c, s = math.cos(piece.yaw), math.sin(piece.yaw)
    axes = np.array([(c, s, 0), (-s, c, 0), (0, 0, 1)])
    return furniture_mesh(piece.label, piece.colour, piece.center, piece.size, axes, owner, piece.tint)


@functools.lru_cache(maxsize=1024)
def _category_mesh(label: str, colour: str) -> tuple[Floats, Ints, Floats]:
    """Vertices in the unit box (V, 3), triangles (T, 3), colours (T, 3)."""
    vertices: list[Floats] = []
    triangles: list[Ints] = []
    colours: list[Floats] = []
    count = 0
    for part in CATALOGUE[label].parts:
        v, t = _primitive(part)
        vertices.append(v)
        triangles.append(t + np.uint32(count))
        colours.append(np.tile(np.array(PALETTE[part.paint or colour], dtype=np.float32), (len(t), 1)))
        count += len(v)
    return np.concatenate(vertices), np.concatenate(triangles), np.concatenate(colours)


def _primitive(part: Part) -> tuple[Floats, Ints]:
    low, high = np.array(part.low, dtype=np.float32), np.array(part.high, dtype=np.float32)
    if part.shape == "box":
        unit, faces = _CORNERS, _BOX_FACES
    elif part.shape == "ball":
        unit, faces = _rings([(z, math.sqrt(max(0.0, 1 - (2 * z - 1) ** 2))) for z in (0.0, 0.15, 0.5, 0.85, 1.0)])
    else:
        unit, faces = _rings([(0.0, 0.0), (0.0, 1.0), (1.0, TAPER if part.shape == "taper" else 1.0), (1.0, 0.0)])
        if part.shape == "wheel":
            unit = unit[:, [0, 2, 1]]  # the axis along the depth
            faces = faces[:, ::-1]
    return low + unit * (high - low), faces


def _rings(profile: list[tuple[float, float]]) -> tuple[Floats, Ints]:
    """A body turned around the vertical: (height, radius over 1/2) from bottom to top, filling the unit box."""
    angles = 2 * math.pi * np.arange(SIDES) / SIDES
    circle = np.stack([np.cos(angles) / np.abs(np.cos(angles)).max(), np.sin(angles) / np.abs(np.sin(angles)).max()], axis=1)
    rings = [np.column_stack([0.5 + 0.5 * r * circle, np.full(SIDES, z)]) for z, r in profile]
    faces = []
    for k in range(len(profile) - 1):
        for i in range(SIDES):
            a, b = k * SIDES + i, k * SIDES + (i + 1) % SIDES
            faces += [(a, b, b + SIDES), (a, b + SIDES, a + SIDES)]
    return np.concatenate(rings).astype(np.float32), np.array(faces, dtype=np.uint32)


def _of_one_owner(vertices: Floats, triangles: Ints, colours: Floats, owner: int) -> Mesh:
    n = len(triangles)
    return Mesh(vertices, triangles, colours, np.full(n, owner, dtype=np.int32), np.zeros(n, dtype=np.uint8))
