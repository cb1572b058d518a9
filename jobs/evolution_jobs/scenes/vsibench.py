"""The official VSI-Bench metadata as scenes: boxes, counts and room sizes of 288 real rooms, and drawings of their layout.

`audit` reads the scenes as they are, without frames; `prepare` also draws them: oriented boxes in the colour and, where the
catalogue has it, the shape of their label, between walls that follow from the boxes and the room size, seen from a camera walk.
Poses and visibility are then those of the drawing.
The rooms are a benchmark's validation set: every scene carries that benchmark's name, and training refuses it.

Metadata (reference: vision-x-nyu/thinking-in-space, data/meta_info): per scene `object_bbox[label]` is a list of boxes with
`centroid`, `axesLengths` (full lengths) and `normalizedAxes` (9 numbers whose rows are the axes); metres, z up.
"""

import colorsys
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from evolution_api.scene import Box, Matrix3, Scene, SceneObject
from evolution_jobs.scenes.furniture import CATALOGUE, PALETTE, STYLES
from evolution_jobs.scenes.library import SceneError
from evolution_jobs.scenes.meshes import Mesh, box_mesh, furniture_mesh, join, shell_mesh
from evolution_jobs.scenes.render import Image, draw, scene_frames
from evolution_jobs.scenes.rooms import CAMERA_WALL_M, Rect, intrinsics, look_at

BENCHMARK = "vsi-bench"
WALL_GAP_M = 0.05
"""Space between the outermost boxes and the drawn walls."""
LEAST_CEILING_M = 2.4
EYE_M = 1.55
"""Height of the camera above the floor."""
FLAT_M = 0.02
"""Boxes are drawn at least this thick."""
UPRIGHT_COSINE = 0.94
"""A box stands upright when one of its axes is within 20 degrees of the vertical; many of ScanNet's do not."""


def scenes_from_metadata(path: Path) -> dict[str, Scene]:
    """Scenes without frames by official name, from a `*_meta_info_val.json` file or every one in a folder (or its `meta` folder).

    Raises SceneError where there is none, or one does not parse.
    """
    files = [path] if path.is_file() else sorted(path.glob("*_meta_info*.json")) or sorted(path.glob("meta/*_meta_info*.json"))
    if not files:
        raise SceneError(f"{path} holds no *_meta_info*.json; name the file, or the folder with the official metadata files")
    scenes: dict[str, Scene] = {}
    for file in files:
        try:
            entries = json.loads(file.read_bytes())
            scenes |= {name: _scene(name, entry) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SceneError(f"{file} is no VSI-Bench metadata ({_short(error)}); take the official file as it is") from error
    return scenes


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"])
    return f"missing field {error}" if isinstance(error, KeyError) else str(error)


def _scene(name: str, entry: dict[str, Any]) -> Scene:
    objects = tuple(
        SceneObject(id=f"{label.replace(' ', '-')}-{i}", label=label, box=_official_box(box))
        for label, boxes in entry["object_bbox"].items()
        for i, box in enumerate(boxes, 1)
    )
    return Scene(
        id=name,
        source="vsibench",
        benchmark=BENCHMARK,
        room_size_m2=entry["room_size"],
        room_center=tuple(entry["room_center"]),
        counts=entry["object_counts"],
        objects=objects,
        frames=(),
    )


def _official_box(box: dict[str, Any]) -> Box:
    rows = np.reshape(box["normalizedAxes"], (3, 3)).tolist()
    axes: Matrix3 = (tuple(rows[0]), tuple(rows[1]), tuple(rows[2]))
    return Box(center=tuple(box["centroid"]), size=tuple(box["axesLengths"]), axes=axes)


def box_corners(box: Box) -> NDArray[np.float64]:
    """The eight corners, (8, 3) metres in the world."""
    signs = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    return np.asarray((signs * box.size) @ np.array(box.axes) + box.center)


def layout_scene(scene: Scene, frames: int, width: int, height: int) -> tuple[Scene, list[Image]]:
    """The scene with frames drawn of its layout, and their images."""
    area, floor_z, ceiling_m = walls_of(scene)
    mesh, style = _layout_mesh(scene, area, floor_z, ceiling_m)
    poses = _walk(scene, area, floor_z, frames)
    camera = intrinsics(width, height)
    drawn = draw(mesh, poses, camera, width, height, STYLES[style].brightness)
    made = scene_frames(drawn, [o.id for o in scene.objects], poses, camera, width, height)
    return scene.model_copy(update={"frames": made}), drawn.images


def walls_of(scene: Scene) -> tuple[Rect, float, float]:
    """Floor rectangle, height of the floor and height of the ceiling above it, metres.

    The rectangle is the boxes' extent, grown evenly about its middle to the official floor area where that is larger.
    The metadata has no walls: this is a plausible room, not a reconstruction.
    """
    corners = np.concatenate([box_corners(o.box) for o in scene.objects]) if scene.objects else np.zeros((1, 3))
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.maximum(high[:2] - low[:2] + 2 * WALL_GAP_M, 1.5)
    grow = math.sqrt(max(1.0, (scene.room_size_m2 or 0.0) / float(size[0] * size[1])))
    middle, half = (low[:2] + high[:2]) / 2, size * grow / 2
    area = Rect(*(middle - half).tolist(), *(middle + half).tolist())
    return area, float(low[2]) - 0.01, max(LEAST_CEILING_M, float(high[2] - low[2]) + 0.05)


def _layout_mesh(scene: Scene, area: Rect, floor_z: float, ceiling_m: float) -> tuple[Mesh, str]:
    style = tuple(STYLES)[_hash(scene.id) % len(STYLES)]
    bodies = [_body(o, i, area) for i, o in enumerate(scene.objects)]
    return join([shell_mesh((area,), (), ceiling_m, style, floor_z), *bodies]), style


def _body(thing: SceneObject, owner: int, area: Rect) -> Mesh:
    """The object's box; shaped as the catalogue has it where the label is known and the box stands upright."""
    size, axes = np.maximum(thing.box.size, FLAT_M), np.array(thing.box.axes)
    up = int(np.argmax(np.abs(axes[:, 2])))
    if thing.label not in CATALOGUE or abs(axes[up, 2]) < UPRIGHT_COSINE:
        return box_mesh(thing.box.center, size.tolist(), axes, label_colour(thing.label), owner)
    category = CATALOGUE[thing.label]
    flat = sorted((i for i in range(3) if i != up), key=lambda i: float(size[i]))
    width, depth = (flat[1], flat[0]) if sum(category.width) >= sum(category.depth) else (flat[0], flat[1])
    # The metadata does not say where the front is: it looks into the room.
    inwards = np.array([*area.center, thing.box.center[2]]) - thing.box.center
    front = axes[depth] if axes[depth] @ inwards >= 0 else -axes[depth]
    top = axes[up] if axes[up, 2] > 0 else -axes[up]
    turned = np.stack([np.cross(front, top), front, top])
    return furniture_mesh(thing.label, category.colours[0], thing.box.center, size[[width, depth, up]].tolist(), turned, owner)


def label_colour(label: str) -> tuple[float, float, float]:
    """RGB of a label: the catalogue's first colour where it has the label, else a strong one by the label's hash."""
    if label in CATALOGUE:
        return PALETTE[CATALOGUE[label].colours[0]]
    number = _hash(label)
    return colorsys.hsv_to_rgb(number % 360 / 360, 0.55 + (number // 360 % 4) * 0.13, 0.6 + (number // 1440 % 4) * 0.12)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _walk(scene: Scene, area: Rect, floor_z: float, frames: int) -> NDArray[np.float64]:
    """Poses (F, 4, 4) of one turn around the room, each looking across it from where no tall box stands."""
    xs = np.arange(area.x0 + CAMERA_WALL_M, area.x1 - CAMERA_WALL_M + 1e-9, 0.15)
    ys = np.arange(area.y0 + CAMERA_WALL_M, area.y1 - CAMERA_WALL_M + 1e-9, 0.15)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    free = np.ones(len(grid), dtype=bool)
    for o in scene.objects:
        corners = box_corners(o.box)
        low, high = corners.min(axis=0), corners.max(axis=0)
        if low[2] < floor_z + EYE_M + 0.2 and high[2] > floor_z + EYE_M - 0.3:
            inside = (grid > low[:2] - CAMERA_WALL_M) & (grid < high[:2] + CAMERA_WALL_M)
            free &= ~inside.all(axis=1)
    spots = grid[free] if free.any() else np.array([area.center])
    middle, half = np.array(area.center), np.array([area.x1 - area.x0, area.y1 - area.y0]) / 2
    start = _hash(scene.id) % 360
    poses = []
    for i in range(frames):
        angle = math.radians(start) + 2 * math.pi * i / frames
        out = np.array([math.cos(angle), math.sin(angle)])
        eye = spots[int(np.argmin(((spots - middle - out * half * 0.65) ** 2).sum(axis=1)))]
        aim = middle - out * half * 0.5
        if float(np.hypot(*(aim - eye))) < 0.2:
            aim = eye - out
        poses.append(look_at((*eye, floor_z + EYE_M), (*aim, floor_z + 0.7)))
    return np.stack(poses)
