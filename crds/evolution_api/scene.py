"""A prepared scene: one `scene.json` beside its frames.

Units and frames of reference, everywhere: metres, seconds, pixels; world right-handed with z up; camera as OpenCV has it
(x right, y down, z forward); poses are camera-to-world. What a source lacks is None, and what needs it is not asked.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from evolution_api.closed import Record

Vector = tuple[float, float, float]
Matrix3 = tuple[Vector, Vector, Vector]
Matrix4 = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]

ORTHONORMAL_TOLERANCE = 1e-3
"""Largest |R @ R.T - I| entry accepted of a rotation read from a file (official boxes stay below 1e-6)."""


def _check_rotation(rows: tuple[Vector, ...], what: str) -> None:
    for i in range(3):
        for j in range(3):
            dot = sum(rows[i][k] * rows[j][k] for k in range(3))
            if abs(dot - (i == j)) > ORTHONORMAL_TOLERANCE:
                raise ValueError(f"{what} is no rotation: rows {i} and {j} have dot product {dot:.4f}; give orthonormal rows")
    a, b, c = rows
    determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    if determinant < 0:
        raise ValueError(f"{what} is left-handed (determinant {determinant:.3f}); flip one axis")


class Box(Record):
    """An oriented box: `world = local @ axes + center`, `|local_i| <= size_i / 2`."""

    center: Vector
    """Centre in the world, metres."""
    size: Annotated[Vector, Field()]
    """Full edge lengths along the axes, metres, each above 0."""
    axes: Matrix3 = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    """Row i is the i-th axis of the box in the world; orthonormal, right-handed."""

    @field_validator("size")
    @classmethod
    def edges_are_positive(cls, size: Vector) -> Vector:
        if min(size) <= 0:
            raise ValueError(f"box size {size} has an edge that is not above 0; sizes are full edge lengths in metres")
        return size

    @field_validator("axes")
    @classmethod
    def axes_are_a_rotation(cls, axes: Matrix3) -> Matrix3:
        _check_rotation(axes, "axes")
        return axes


class SceneObject(Record):
    id: str = Field(min_length=1)
    """Unique in the scene."""
    label: str = Field(min_length=1)
    """Category as questions name it, lower case."""
    box: Box
    colour: str | None = None
    """Colour word, where the source knows it."""


class Sighting(Record):
    """One object in one frame."""

    object: str
    """Id of the object."""
    ratio: float = Field(ge=0, le=1)
    """Visible pixels over the pixels that the object would cover if nothing stood before it and the image had no border."""
    box_px: tuple[float, float, float, float]
    """Left, top, right, bottom of the visible part, pixels."""
    pixels: int = Field(ge=0)
    """Visible pixels."""


class Frame(Record):
    file: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")
    """Path of the image below the scene's folder."""
    time_s: float = Field(ge=0)
    """Time in the source's video, seconds; frames are ordered by it."""
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    pose: Matrix4 | None = None
    """Camera-to-world; None where the source has no pose."""
    intrinsics: tuple[float, float, float, float] | None = None
    """fx, fy, cx, cy in pixels."""
    visible: tuple[Sighting, ...] | None = None
    """Objects seen in this frame; None where visibility is unknown, empty where nothing is seen."""

    @field_validator("pose")
    @classmethod
    def pose_is_rigid(cls, pose: Matrix4 | None) -> Matrix4 | None:
        if pose is None:
            return None
        if not all(math.isfinite(x) for row in pose for x in row):
            raise ValueError("pose holds NaN or infinity: the tracking was lost there; leave the frame out")
        _check_rotation(tuple((r[0], r[1], r[2]) for r in pose[:3]), "pose")
        if max(abs(a - b) for a, b in zip(pose[3], (0.0, 0.0, 0.0, 1.0), strict=True)) > ORTHONORMAL_TOLERANCE:
            raise ValueError(f"pose ends in {pose[3]}, not (0, 0, 0, 1); give a row-major camera-to-world matrix")
        return pose


class Scene(Record):
    version: Literal[1] = 1
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    source: str
    """What made it: procedural, vsibench, ..."""
    benchmark: str | None = None
    """Name of the benchmark whose validation set has this room; such scenes are refused for training."""
    room_size_m2: float | None = Field(default=None, gt=0)
    """Floor area, square metres."""
    room_center: Vector | None = None
    counts: dict[str, int] | None = None
    """Objects per label as the source states them; a label absent here is not annotated by that source.
    None: the objects themselves are the whole truth."""
    objects: tuple[SceneObject, ...]
    frames: tuple[Frame, ...]

    @model_validator(mode="after")
    def ids_are_unique_and_known(self) -> "Scene":
        ids = [o.id for o in self.objects]
        if len(set(ids)) != len(ids):
            twice = sorted({i for i in ids if ids.count(i) > 1})
            raise ValueError(f"object ids {twice} stand twice; every object needs an id of its own")
        known = set(ids)
        for frame in self.frames:
            unknown = {s.object for s in frame.visible or ()} - known
            if unknown:
                raise ValueError(f"frame {frame.file} sees objects {sorted(unknown)} that the scene does not list")
        times = [f.time_s for f in self.frames]
        if times != sorted(times):
            raise ValueError("frames are not in the order of their time_s; sort them")
        return self


class ScenePlan(Record):
    """What the prepare stage fixed for the whole run: which scenes are trained on and which are held out."""

    root_uri: str
    """Folder or prefix that holds `<scene id>/scene.json`."""
    train: tuple[str, ...]
    """Scene ids in the order that fixes their shard: scene i belongs to shard i modulo the number of shards."""
    heldout: tuple[str, ...]
    benchmark: tuple[str, ...] = ()
    """Names of the benchmarks whose validation scenes are in `train` (only with allowBenchmarkScenes)."""
    skipped: dict[str, str] = {}
    """Scene id -> why it cannot be used."""
