"""`spec.scenes`: where scenes come from."""

from typing import Annotated, Literal

from pydantic import Field

from evolution_api.run.rules import Rule, Ruled


class Procedural(Ruled):
    """Rooms made by seed and drawn by ray casting; needs no data."""

    rooms: int = Field(default=96, ge=2, le=100_000)
    """How many rooms, the held-out ones included."""
    objects_min: int = Field(default=4, ge=1, le=40)
    """Fewest objects in a room."""
    objects_max: int = Field(default=8, ge=1, le=40)
    """Most objects in a room."""
    furniture: tuple[Annotated[str, Field(max_length=40)], ...] = Field(default=(), max_length=64)
    """Categories that the rooms are furnished with; empty means all that there are."""
    width: int = Field(default=64, ge=16, le=1920)
    """Width of a frame, pixels."""
    height: int = Field(default=64, ge=16, le=1440)
    """Height of a frame, pixels."""

    rules = (
        Rule(
            "self.objectsMin <= self.objectsMax",
            lambda s: s.objects_min <= s.objects_max,
            "scenes.procedural.objectsMin must not exceed scenes.procedural.objectsMax; raise the latter",
        ),
    )


class Scenes(Ruled):
    """Where the scenes come from, and which of their frames are seen."""

    uri: str | None = Field(default=None, pattern=r"^(s3|file)://.+", max_length=1024)
    """Prepared scenes: a folder or prefix that `evolution prepare` wrote."""
    procedural: Procedural | None = None
    """Rooms that the run makes itself."""
    frames_per_scene: int = Field(default=32, ge=1, le=256)
    """Frames that the proposer and the solver see of a scene."""
    frame_sampling: Literal["uniform", "coverage"] = "uniform"
    """`uniform` takes frames evenly spaced in time; `coverage` takes those that together see most objects."""
    limit: int | None = Field(default=None, ge=1, le=1_000_000)
    """Use at most this many scenes; None means all."""
    allow_benchmark_scenes: bool = False
    """Train on scenes of a benchmark's validation set; the run, its report and its checkpoints then say so."""

    rules = (
        Rule(
            "has(self.uri) != has(self.procedural)",
            lambda s: (s.uri is None) != (s.procedural is None),
            "scenes needs exactly one of uri (prepared scenes) and procedural (rooms made by the run); set one",
        ),
    )
