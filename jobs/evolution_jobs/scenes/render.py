"""Frames and true visibility of a mesh, by ray casting: Open3D finds the hits, numpy does the rest.

`make_scene` gives a room by seed with its pictures and touches no disk (pre-training calls it thousands of times);
`vsibench` calls `draw`. Single-threaded, so that a forked child may call it. World: metres, z up; cameras as OpenCV has them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evolution_api.scene import Box, Frame, Scene, SceneObject, Sighting
from evolution_jobs.scenes.furniture import STYLES
from evolution_jobs.scenes.meshes import PATTERNS, Mesh, room_mesh
from evolution_jobs.scenes.rooms import Piece, Room, camera_walk, intrinsics, make_room

Image = NDArray[np.uint8]
"""(height, width, 3), RGB."""

BORDERLESS = 1.0
"""The image without a border reaches this many widths and heights further on each side; beyond that an object ends."""
ALONE_SAMPLES = 2048
"""Most rays that measure how large an object would be alone; larger ones are sampled on a coarser grid."""
RAYS_AT_ONCE = 2**20
"""Most rays of one cast, about 100 MiB of memory."""
NEAR_M = 0.05
APART_M = 64.0
"""Distance between the copies of objects that are measured alone: above any room, and float32 still holds millimetres."""
NO_HIT = np.iinfo(np.uint32).max

KEY_LIGHT = np.array([0.32, 0.20, 0.93])
FILL_LIGHT = np.array([-0.75, 0.60, 0.28])
FRAME_SECONDS = 1.0
"""Time between two frames of a walk."""


@dataclass(frozen=True)
class Drawn:
    images: list[Image]
    sightings: list[tuple[tuple[int, float, tuple[float, float, float, float], int], ...]]
    """Per frame: object index, visible ratio, box in pixels (left, top, right, bottom), visible pixels."""
    owners: NDArray[np.int32]  # (F, H, W)
    """Index of the object that a pixel shows, -1 for none."""
    distances: NDArray[np.float32]  # (F, H, W)
    """Metres from the camera along the pixel's ray, infinite where it meets nothing."""


def make_scene(
    seed: int,
    frames: int = 6,
    width: int = 64,
    height: int = 64,
    *,
    furniture: Sequence[str] | None = None,
    objects_min: int = 4,
    objects_max: int = 8,
    colours: Iterable[str] | None = None,
    styles: Sequence[str] | None = None,
    scene_id: str | None = None,
) -> tuple[Scene, list[Image]]:
    """The room of that seed as a scene with all frames seen, and the frames' images; raises ValueError as `make_room` does."""
    room = make_room(seed, furniture, objects_min, objects_max, colours=colours, styles=styles)
    poses = camera_walk(room, frames)
    drawn = draw(room_mesh(room), poses, intrinsics(width, height), width, height, STYLES[room.style].brightness)
    objects = scene_objects(room)
    labels = [o.label for o in objects]
    scene = Scene(
        id=scene_id or f"room-{seed}",
        source="procedural",
        # What these rooms may hold and what they never do: else every question after the latter would be a no.
        counts={label: labels.count(label) for label in furniture} if furniture else None,
        room_size_m2=round(room.floor_m2, 4),
        room_center=room.center,
        objects=objects,
        frames=scene_frames(drawn, [o.id for o in objects], poses, intrinsics(width, height), width, height),
    )
    return scene, drawn.images


def scene_objects(room: Room) -> tuple[SceneObject, ...]:
    return tuple(_scene_object(piece) for piece in room.pieces)


def _scene_object(piece: Piece) -> SceneObject:
    c, s = math.cos(piece.yaw), math.sin(piece.yaw)
    box = Box(center=piece.center, size=piece.size, axes=((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)))
    return SceneObject(id=piece.id, label=piece.label, box=box, colour=piece.colour)


def scene_frames(
    drawn: Drawn,
    object_ids: Sequence[str],
    poses: NDArray[np.float64],
    intrinsics_px: tuple[float, float, float, float],
    width: int,
    height: int,
) -> tuple[Frame, ...]:
    return tuple(
        Frame(
            file=f"frames/{i:03d}.png",
            time_s=i * FRAME_SECONDS,
            width=width,
            height=height,
            pose=tuple(map(tuple, pose.tolist())),
            intrinsics=intrinsics_px,
            visible=tuple(Sighting(object=object_ids[k], ratio=ratio, box_px=box, pixels=n) for k, ratio, box, n in seen),
        )
        for i, (pose, seen) in enumerate(zip(poses, drawn.sightings, strict=True))
    )


def draw(
    mesh: Mesh,
    poses: NDArray[np.float64],
    intrinsics_px: tuple[float, float, float, float],
    width: int,
    height: int,
    brightness: float = 1.0,
) -> Drawn:
    """Colour frames and sightings; `poses` (F, 4, 4) camera-to-world. Small frames go in one cast, large ones in several."""
    frames, pixels = len(poses), width * height
    at_once = max(1, RAYS_AT_ONCE // pixels)
    if frames > at_once:
        parts = [draw(mesh, poses[i : i + at_once], intrinsics_px, width, height, brightness) for i in range(0, frames, at_once)]
        return Drawn(
            [x for p in parts for x in p.images],
            [x for p in parts for x in p.sightings],
            np.concatenate([p.owners for p in parts]),
            np.concatenate([p.distances for p in parts]),
        )
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)  # pixel centres
    rays = np.concatenate([_rays(pose, intrinsics_px, u.ravel(), v.ravel()) for pose in poses])  # (F * P, 6)
    distance, primitive = _cast(mesh.vertices, mesh.triangles, rays)
    hit = primitive != NO_HIT
    primitive = np.where(hit, primitive, 0)
    colours = _shade(mesh, rays, distance, primitive, hit) * np.float32(255 * brightness)
    images = np.clip(colours, 0, 255).astype(np.uint8).reshape(frames, height, width, 3)
    owner = np.where(hit, mesh.owner[primitive], -1).reshape(frames, pixels)
    sightings = _sightings(mesh, poses, intrinsics_px, owner, width, height)
    return Drawn(list(images), sightings, owner.reshape(frames, height, width), distance.reshape(frames, height, width))


def _rays(
    pose: NDArray[np.float64], intrinsics_px: tuple[float, float, float, float], u: NDArray[Any], v: NDArray[Any]
) -> NDArray[np.float32]:
    """Rays (n, 6): origin and unit direction in the world, through image points (u, v) in pixels."""
    fx, fy, cx, cy = intrinsics_px
    camera = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], axis=1).astype(np.float32)  # (n, 3)
    camera /= np.sqrt(np.einsum("ij,ij->i", camera, camera))[:, None]
    rays = np.empty((len(camera), 6), dtype=np.float32)
    rays[:, :3] = pose[:3, 3]
    rays[:, 3:] = camera @ pose[:3, :3].T.astype(np.float32)
    return rays


def _cast(
    vertices: NDArray[np.float32], triangles: NDArray[np.uint32], rays: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Distance in metres and triangle index of each ray's first hit; NO_HIT where there is none."""
    import open3d as o3d  # 2 s: only programs that draw pay for it

    # One thread: a fork of a process whose thread pool has run hangs, and other programs want the cores too.
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(o3d.core.Tensor.from_numpy(vertices), o3d.core.Tensor.from_numpy(triangles))
    hits = scene.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)
    return hits["t_hit"].numpy(), hits["primitive_ids"].numpy()


def _shade(
    mesh: Mesh, rays: NDArray[np.float32], distance: NDArray[np.float32], primitive: NDArray[Any], hit: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Colours (n, 3): the triangle's own, lit by two lamps and one at the camera, darker with distance, patterned."""
    a, b, c = (mesh.vertices[mesh.triangles[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    lit = np.stack([_light(normals * side) for side in (1, -1)])  # (2, T): seen from its front, from its back
    facing = np.einsum("ij,ij->i", normals[primitive], rays[:, 3:])  # cosine between the normal and the ray
    depth = np.where(hit, distance, 20.0).astype(np.float32)
    shade = (lit[(facing > 0).astype(np.int8), primitive] + 0.12 * np.abs(facing)) * np.clip(1.08 - 0.035 * depth, 0.65, 1.05)
    shade = shade * _pattern(mesh.pattern[primitive], rays, depth)
    lit_colours: NDArray[np.float32] = mesh.colours[primitive] * (shade * hit)[:, None].astype(np.float32)
    return lit_colours


def _light(normals: NDArray[np.float32]) -> NDArray[np.float32]:
    key, fill = np.maximum(normals @ KEY_LIGHT, 0), np.maximum(normals @ FILL_LIGHT, 0)
    light: NDArray[np.float32] = (0.6 + 0.32 * key + 0.2 * fill).astype(np.float32)
    return light


def _pattern(pattern: NDArray[np.uint8], rays: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Factors (n,) that darken parts of floors and walls."""
    factor = np.ones(len(pattern), dtype=np.float32)
    rows = np.nonzero(pattern)[0]
    if len(rows) == 0:
        return factor
    kind = pattern[rows]
    points = rays[rows, :3] + rays[rows, 3:] * depth[rows, None]  # (m, 3) metres
    step_x, step_y = np.floor(points[:, 0] / 0.5).astype(np.int32), np.floor(points[:, 1] / 0.5).astype(np.int32)
    planks = np.floor(points[:, 1] / 0.2).astype(np.int32) % 2
    stripes = np.floor((points[:, 0] + points[:, 1]) / 0.25).astype(np.int32) % 2
    dark = np.select(
        [kind == PATTERNS.index("planks"), kind == PATTERNS.index("tiles"), kind == PATTERNS.index("stripes")],
        [planks * 0.13, ((step_x + step_y) % 2) * 0.18, stripes * 0.08],
    )
    factor[rows] = 1 - dark
    return factor


def _sightings(
    mesh: Mesh,
    poses: NDArray[np.float64],
    intrinsics_px: tuple[float, float, float, float],
    owner: NDArray[np.int32],
    width: int,
    height: int,
) -> list[tuple[tuple[int, float, tuple[float, float, float, float], int], ...]]:
    """`owner` (F, P) is the object that each pixel shows, -1 for none."""
    objects = int(mesh.owner.max(initial=-1)) + 1
    visible = np.stack([np.bincount(row + 1, minlength=objects + 1)[1:] for row in owner])  # (F, K)
    pairs = [(int(f), int(k)) for f, k in np.argwhere(visible)]
    alone = _pixels_alone(mesh, poses, intrinsics_px, pairs, width, height)
    seen: list[list[tuple[int, float, tuple[float, float, float, float], int]]] = [[] for _ in poses]
    for (frame, k), whole in zip(pairs, alone, strict=True):
        mask = (owner[frame] == k).reshape(height, width)
        rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
        box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        count = int(visible[frame, k])
        seen[frame].append((k, round(float(count / max(whole, count)), 4), box, count))
    return [tuple(s) for s in seen]


def _pixels_alone(
    mesh: Mesh,
    poses: NDArray[np.float64],
    intrinsics_px: tuple[float, float, float, float],
    pairs: list[tuple[int, int]],
    width: int,
    height: int,
) -> NDArray[np.float64]:
    """Pixels that object k would cover in frame f with nothing before it and no border, for each pair (f, k).

    Every object is copied to a place of its own, far from all others, and its rays go there with it: one cast measures all pairs.
    """
    if not pairs:
        return np.zeros(0)
    objects = sorted({k for _, k in pairs})
    of_object = {k: np.nonzero(mesh.owner == k)[0] for k in objects}
    vertices_of = {k: mesh.vertices[np.unique(mesh.triangles[of_object[k]])] for k in objects}
    own = np.concatenate([of_object[k] for k in objects])
    corners = mesh.vertices[mesh.triangles[own].ravel()]  # (3 * T', 3), no vertex shared between objects
    corners[:, 0] += np.repeat(mesh.owner[own], 3).astype(np.float32) * np.float32(APART_M)
    triangles = np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)
    rays, cells_px = [], []
    for frame, k in pairs:
        left, top, right, bottom = _rectangle(vertices_of[k], poses[frame], intrinsics_px, width, height)
        across, down = math.ceil(right - left), math.ceil(bottom - top)
        if across * down > ALONE_SAMPLES:
            coarser = math.sqrt(ALONE_SAMPLES / (across * down))
            across, down = math.ceil(across * coarser), math.ceil(down * coarser)
        else:  # the image's own pixels, so that what nothing hides has ratio 1 exactly
            left, top = math.floor(left), math.floor(top)
            across, down = math.ceil(right) - left, math.ceil(bottom) - top
            right, bottom = left + across, top + down
        step_u, step_v = (right - left) / across, (bottom - top) / down
        u, v = np.meshgrid(left + step_u * (np.arange(across) + 0.5), top + step_v * (np.arange(down) + 0.5))
        mine = _rays(poses[frame], intrinsics_px, u.ravel(), v.ravel())
        mine[:, 0] += np.float32(k * APART_M)
        rays.append(mine)
        cells_px.append(step_u * step_v)
    _, primitive = _cast(corners, triangles, np.concatenate(rays))
    hit_owner = np.where(primitive != NO_HIT, mesh.owner[own][np.where(primitive != NO_HIT, primitive, 0)], -1)
    ends = np.cumsum([len(r) for r in rays])
    return np.array(
        [
            np.count_nonzero(hit_owner[end - len(r) : end] == k) * cell_px
            for (_, k), r, end, cell_px in zip(pairs, rays, ends, cells_px, strict=True)
        ],
        dtype=np.float64,
    )


def _rectangle(
    vertices: NDArray[np.float32],
    pose: NDArray[np.float64],
    intrinsics_px: tuple[float, float, float, float],
    width: int,
    height: int,
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in pixels around the object's image, cut where the borderless image ends."""
    fx, fy, cx, cy = intrinsics_px
    left, top = -BORDERLESS * width, -BORDERLESS * height
    right, bottom = width - left, height - top
    x, y, z = ((vertices - pose[:3, 3]) @ pose[:3, :3]).T
    if z.min() < NEAR_M:  # part of it is beside or behind the camera: its image has no end
        return left, top, right, bottom
    u, v = fx * x / z + cx, fy * y / z + cy
    return max(left, float(u.min())), max(top, float(v.min())), min(right, float(u.max())), min(bottom, float(v.max()))
