"""Rooms by seed: areas, a style, furniture in plausible places, and a camera walk through them.

`render` draws what this module decides. The same seed and arguments give the same room on every machine. World: metres, z up,
the floor at z = 0. It knows neither files nor questions.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evolution_jobs.scenes.furniture import CATALOGUE, CATEGORIES, STYLES, SUPPORTS, Category

HELDOUT_SEED_OFFSET = 2**19
"""Room seeds of a run: training rooms count up from `run seed * 2**20`, held-out ones from this further on."""
PRETRAINING_SEED = 2**60
"""Rooms that a model is pre-trained on count up from here, beyond every run's seeds (run seeds are below 2**31)."""

GAP_M = 0.06
"""Least space between two pieces of furniture."""
INSTANCES = (0.42, 0.22, 0.17, 0.11, 0.08)
"""How often 1, 2, ... pieces of one category are wanted in a room."""
DISTINCT = 4
"""Categories that a room has at least, where it has that many objects: with fewer there is little to compare."""
TRIES = 24
"""Places tried for a piece before the room goes without it."""
TWO_AREAS_SHARE = 0.2
"""Share of rooms that are two, joined by an opening."""
OPENING_HEIGHT_M = 2.1
HORIZONTAL_VIEW_DEG = 80.0
"""Field of view of the camera, as wide as a telephone's wide lens."""
CAMERA_WALL_M = 0.3
"""Least distance of the camera from walls and tall furniture."""


@dataclass(frozen=True)
class Rect:
    """An axis-aligned rectangle on the floor, metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    @property
    def center(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


@dataclass(frozen=True)
class Opening:
    """A gap in the wall x = `x` between two areas, from y0 to y1 and up to OPENING_HEIGHT_M."""

    x: float
    y0: float
    y1: float


@dataclass(frozen=True)
class Piece:
    """One piece of furniture; its front looks along the local +y, (-sin yaw, cos yaw) in the world."""

    id: str
    label: str
    colour: str
    tint: float
    """Brightness of this very piece, around 1."""
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    """Width, depth, height."""
    yaw: float
    """Radians, counter-clockwise from above."""

    def bounds(self, front_m: float = 0.0, gap_m: float = 0.0) -> tuple[float, float, float, float, float, float]:
        """x0, y0, z0, x1, y1, z1 of its axis-aligned hull, reaching `front_m` further before its front and `gap_m` around."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        w, d = self.size[0] / 2, self.size[1] / 2
        corners = [(u * c - v * s, u * s + v * c) for u in (-w, w) for v in (-d, d + front_m)]
        xs, ys = [self.center[0] + x for x, _ in corners], [self.center[1] + y for _, y in corners]
        half = self.size[2] / 2
        return (
            min(xs) - gap_m,
            min(ys) - gap_m,
            self.center[2] - half,
            max(xs) + gap_m,
            max(ys) + gap_m,
            self.center[2] + half,
        )


@dataclass(frozen=True)
class Room:
    seed: int
    areas: tuple[Rect, ...]
    openings: tuple[Opening, ...]
    height: float
    style: str
    pieces: tuple[Piece, ...]

    @property
    def floor_m2(self) -> float:
        return sum(a.area for a in self.areas)

    @property
    def center(self) -> tuple[float, float, float]:
        """Centre of the box around all areas."""
        x0, x1 = min(a.x0 for a in self.areas), max(a.x1 for a in self.areas)
        y0, y1 = min(a.y0 for a in self.areas), max(a.y1 for a in self.areas)
        return (x0 + x1) / 2, (y0 + y1) / 2, self.height / 2


def make_room(
    seed: int,
    furniture: Sequence[str] | None = None,
    objects_min: int = 4,
    objects_max: int = 8,
    *,
    colours: Iterable[str] | None = None,
    styles: Sequence[str] | None = None,
) -> Room:
    """The room of that seed, with `objects_min` to `objects_max` pieces of the categories, colours and styles named (None: all).

    A category none of whose colours is named keeps its own. Raises ValueError for an unknown name or an empty choice, and
    where the pieces asked for do not fit.
    """
    labels = known(furniture, CATEGORIES, "furniture")
    style_names = known(styles, tuple(STYLES), "styles")
    allowed = None if colours is None else frozenset(colours)
    if not 1 <= objects_min <= objects_max:
        raise ValueError(f"objects from {objects_min} to {objects_max}: need 1 <= least <= most")
    rng = random.Random(seed)  # noqa: S311 - rooms by seed, no secret
    wanted = rng.randint(objects_min, objects_max)
    for growth in range(8):
        room = _Builder(rng, wanted, growth)
        room.furnish(labels, allowed)
        if len(room.pieces) >= objects_min:
            return Room(seed, room.areas, room.openings, room.height, rng.choice(style_names), tuple(room.pieces))
    raise ValueError(
        f"{objects_min} objects of {', '.join(labels)} do not fit a room (seed {seed}); ask for fewer or allow more categories"
    )


def known(names: Sequence[str] | None, all_: tuple[str, ...], what: str) -> tuple[str, ...]:
    """`names`, or all where None; raises ValueError for one that the catalogue lacks."""
    if names is None:
        return all_
    unknown = sorted(set(names) - set(all_))
    if unknown or not names:
        raise ValueError(f"{what} {unknown or 'is empty'}: the catalogue has {', '.join(all_)}; choose among these")
    return tuple(names)


class _Builder:
    """A room under construction."""

    def __init__(self, rng: random.Random, wanted: int, growth: int) -> None:
        self.rng = rng
        self.wanted = wanted
        self.height = rng.uniform(2.5, 3.0)
        self.pieces: list[Piece] = []
        self.loaded: set[str] = set()
        """Supports that carry something already."""
        floor_m2 = rng.uniform(6.0, 16.0) + wanted * rng.uniform(0.7, 1.5) + 6.0 * growth
        aspect = rng.uniform(0.65, 1.0)
        width, depth = math.sqrt(floor_m2 / aspect), math.sqrt(floor_m2 * aspect)
        if rng.random() < 0.5:
            width, depth = depth, width
        if rng.random() < TWO_AREAS_SHARE:
            width2, depth2 = rng.uniform(2.6, 4.0), rng.uniform(2.6, 4.0)
            shift = rng.uniform(0, abs(depth - depth2))
            y1, y2 = (0.0, shift) if depth >= depth2 else (shift, 0.0)
            self.areas: tuple[Rect, ...] = (Rect(0, y1, width, y1 + depth), Rect(width, y2, width + width2, y2 + depth2))
            low, high = max(y1, y2) + 0.3, min(y1 + depth, y2 + depth2) - 0.3
            gap = rng.uniform(1.0, min(1.8, high - low))
            start = rng.uniform(low, high - gap)
            self.openings: tuple[Opening, ...] = (Opening(width, start, start + gap),)
        else:
            self.areas, self.openings = (Rect(0, 0, width, depth),), ()

    def furnish(self, labels: tuple[str, ...], allowed: frozenset[str] | None) -> None:
        order = list(labels)
        self.rng.shuffle(order)
        chosen: list[str] = []
        for label in order * 3:
            if len(chosen) >= self.wanted:
                break
            count = self.rng.choices(range(1, 1 + len(INSTANCES)), INSTANCES)[0]
            reserved = max(0, min(DISTINCT, len(labels)) - 1 - len(set(chosen)))
            space = min(CATALOGUE[label].most - chosen.count(label), max(1, self.wanted - len(chosen) - reserved))
            chosen += [label] * min(count, space)
        # Large before small, so that the small finds its place; what hangs comes last and keeps clear of what stands.
        chosen.sort(key=lambda name: (_rank(CATALOGUE[name]), name))
        numbers: dict[str, int] = {}
        for label in chosen:
            colours = CATALOGUE[label].colours
            colours = tuple(c for c in colours if allowed is None or c in allowed) or colours
            piece = self._placed(label, self.rng.choice(colours), numbers.get(label, 0) + 1)
            if piece is not None:
                self.pieces.append(piece)
                numbers[label] = numbers.get(label, 0) + 1

    def _placed(self, label: str, colour: str, number: int) -> Piece | None:
        rng, category = self.rng, CATALOGUE[label]
        identity = f"{label.replace(' ', '-')}-{number}"
        tint = rng.uniform(0.88, 1.08)
        size = (rng.uniform(*category.width), rng.uniform(*category.depth), rng.uniform(*category.height))
        for attempt in range(TRIES):
            spot = self._spot(label, category, size, attempt)
            if spot is None:
                continue
            piece = Piece(identity, label, colour, tint, spot[0], size, spot[1])
            if self._fits(piece, category):
                return piece
        return None

    def _spot(
        self, label: str, category: Category, size: tuple[float, float, float], attempt: int
    ) -> tuple[tuple[float, float, float], float] | None:
        rng = self.rng
        if category.place == "top" and attempt < TRIES // 2:
            return self._on_support(size)
        if label == "chair" and attempt < TRIES // 2:
            return self._at_table(size)
        area = rng.choices(self.areas, [a.area for a in self.areas])[0]
        if category.place == "floor":
            reach = math.hypot(size[0], size[1]) / 2
            if min(area.x1 - area.x0, area.y1 - area.y0) <= 2 * reach:
                return None
            x, y = rng.uniform(area.x0 + reach, area.x1 - reach), rng.uniform(area.y0 + reach, area.y1 - reach)
            # Most long things stand square to the walls.
            yaw = rng.randrange(4) * math.pi / 2 if max(size[:2]) > 1 else rng.uniform(-math.pi, math.pi)
            return (x, y, size[2] / 2), yaw
        return self._by_wall(area, size, rng.uniform(*category.mount) if category.place == "mounted" else 0.0)

    def _by_wall(
        self, area: Rect, size: tuple[float, float, float], lift: float
    ) -> tuple[tuple[float, float, float], float] | None:
        width, depth, height = size
        side = self.rng.randrange(4)
        off = 0.005 + depth / 2
        low, high = (area.x0, area.x1) if side in (0, 2) else (area.y0, area.y1)
        if high - low < width + 0.04 or lift + height > self.height:
            return None
        along = self.rng.uniform(low + width / 2 + 0.02, high - width / 2 - 0.02)
        x, y = ((along, area.y0 + off), (area.x1 - off, along), (along, area.y1 - off), (area.x0 + off, along))[side]
        return (x, y, lift + height / 2), side * math.pi / 2

    def _at_table(self, size: tuple[float, float, float]) -> tuple[tuple[float, float, float], float] | None:
        """Beside a table or before a desk, facing it."""
        tables = [p for p in self.pieces if p.label in ("table", "desk")]
        if not tables:
            return None
        table = self.rng.choice(tables)
        across = 0 if table.label == "desk" else self.rng.randrange(4)
        w, d = table.size[0] / 2, table.size[1] / 2
        beside = d if across in (0, 2) else w
        run = w if across in (0, 2) else d
        turn = table.yaw + across * math.pi / 2  # the way from the table's middle to the chair is (-sin, cos) of this
        out, along = beside + size[1] / 2 + GAP_M + 0.02, self.rng.uniform(-run, run) * 0.7
        x = table.center[0] - math.sin(turn) * out + math.cos(turn) * along
        y = table.center[1] + math.cos(turn) * out + math.sin(turn) * along
        return (x, y, size[2] / 2), turn + math.pi

    def _on_support(self, size: tuple[float, float, float]) -> tuple[tuple[float, float, float], float] | None:
        free = [p for p in self.pieces if p.label in SUPPORTS and p.id not in self.loaded]
        if not free:
            return None
        support = self.rng.choice(free)
        slack = [(support.size[i] - size[i]) / 2 for i in (0, 1)]
        if min(slack) < 0:
            return None
        u, v = self.rng.uniform(-slack[0], slack[0]), self.rng.uniform(-slack[1], slack[1])
        c, s = math.cos(support.yaw), math.sin(support.yaw)
        top = support.center[2] + support.size[2] / 2
        self.loaded.add(support.id)
        x, y = support.center[0] + u * c - v * s, support.center[1] + u * s + v * c
        return (x, y, top + size[2] / 2), support.yaw

    def _fits(self, piece: Piece, category: Category) -> bool:
        body = piece.bounds()
        if not any(a.x0 <= body[0] and a.y0 <= body[1] and body[3] <= a.x1 and body[4] <= a.y1 for a in self.areas):
            return False
        for o in self.openings:
            if _overlap(body, (o.x - 0.8, o.y0 - 0.05, 0.0, o.x + 0.8, o.y1 + 0.05, OPENING_HEIGHT_M)):
                return False
        reach = piece.bounds(category.clearance_m, GAP_M)
        return not any(
            _overlap(reach, other.bounds()) or _overlap(other.bounds(CATALOGUE[other.label].clearance_m, GAP_M), body)
            for other in self.pieces
        )


def _rank(category: Category) -> tuple[int, float]:
    last = {"wall": 0, "floor": 0, "top": 1, "mounted": 2}[category.place]
    return last, -category.width[0] * category.depth[0]


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(a[i] < b[i + 3] and b[i] < a[i + 3] for i in range(3))


def camera_walk(room: Room, frames: int) -> NDArray[np.float64]:
    """Poses of a walk around each area, looking across it: (frames, 4, 4), camera-to-world, OpenCV convention."""
    rng = random.Random(room.seed ^ 0x5CA1AB1E)  # noqa: S311 - its own stream: the number of frames must not move furniture
    eye_m = rng.uniform(1.4, 1.75)
    poses = []
    share = [a.area / room.floor_m2 for a in room.areas]
    first = frames if len(share) == 1 else min(max(1, round(frames * share[0])), max(1, frames - 1))
    for area, count in zip(room.areas, (first, frames - first), strict=False):
        spots = _standing_room(room, area, eye_m)
        start, turn = rng.uniform(-math.pi, math.pi), rng.choice((-1, 1))
        span = 2 * math.pi * rng.uniform(0.75, 1.0)
        half = np.array([area.x1 - area.x0, area.y1 - area.y0]) / 2
        for i in range(count):
            angle = start + turn * span * i / max(count, 2)
            out = np.array([math.cos(angle), math.sin(angle)])
            wish = np.array(area.center) + out * half * rng.uniform(0.45, 0.8)
            eye = spots[int(np.argmin(((spots - wish) ** 2).sum(axis=1)))]
            aim = (
                np.array(area.center)
                - out * half * rng.uniform(0.2, 0.7)
                + np.array([-out[1], out[0]]) * half * rng.uniform(-0.3, 0.3)
            )
            poses.append(look_at((*eye, eye_m + rng.uniform(-0.05, 0.05)), (*aim, rng.uniform(0.3, 0.9))))
    return np.stack(poses)


def _standing_room(room: Room, area: Rect, eye_m: float) -> NDArray[np.float64]:
    """Points (n, 2) of a grid over the area where a camera at that height is clear of walls and tall furniture."""
    xs = np.arange(area.x0 + CAMERA_WALL_M, area.x1 - CAMERA_WALL_M + 1e-9, 0.2)
    ys = np.arange(area.y0 + CAMERA_WALL_M, area.y1 - CAMERA_WALL_M + 1e-9, 0.2)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)  # (n, 2)
    free = np.ones(len(grid), dtype=bool)
    for piece in room.pieces:
        x0, y0, _, x1, y1, top = piece.bounds(gap_m=CAMERA_WALL_M)
        if top > eye_m - 0.3:
            free &= (grid[:, 0] < x0) | (grid[:, 0] > x1) | (grid[:, 1] < y0) | (grid[:, 1] > y1)
    return grid[free] if free.any() else np.array([area.center])


def look_at(eye: Sequence[float], target: Sequence[float]) -> NDArray[np.float64]:
    """Camera-to-world (4, 4): x right, y down, z towards the target; the horizon stays level."""
    forward = np.subtract(target, eye)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right = right / np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    return pose


def intrinsics(width: int, height: int) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of a camera of HORIZONTAL_VIEW_DEG; a pixel's centre lies at half-integer coordinates."""
    focal_px = 0.5 * width / math.tan(math.radians(HORIZONTAL_VIEW_DEG) / 2)
    return focal_px, focal_px, width / 2, height / 2
