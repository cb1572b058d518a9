"""The geometry library that programs call: small, typed, in metres and degrees, z up.

An object is its id (a string, from `objects` or `one`); a frame is its number, 1 for the first. The functions are
called by name, also in comprehensions; Monty cannot hand them to `sorted` or `min` as a key. Everything is bounded:
arguments are checked before they are touched (a program may hand over anything), each call costs at most one pair of
boxes, and costly values are kept. Nothing here knows about questions; `sandbox.py` hands `Geometry.functions` to
programs, the kinds use it to pick candidates.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property

from evolution_api.scene import Frame, Matrix4, Scene, SceneObject, Vector
from evolution_jobs.questions.boxes import GridTooLargeError, Solid, closest_distance, vsi_distance

VISIBLE_RATIO = 0.1
"""Visible share from which `first_seen` counts an object as seen (SpatialEvo's threshold)."""
MAX_TEXT = 200
"""Longest label or id looked up."""
KEPT_SCENES = 256
"""A shard goes through its scenes one by one; the held-out questions go round all of theirs."""


class GeometryError(LookupError):
    """A question about the scene that has no answer; the class says which reason code it becomes."""


class MissingError(GeometryError):
    """The scene has no such object, or its source does not annotate the label."""


class AmbiguousError(GeometryError):
    """One object was asked for where the scene has several."""


class MetadataError(GeometryError):
    """The scene does not carry the pose, visibility or size that was asked for."""


class Geometry:
    """The library over one scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._objects: dict[str, SceneObject] = {o.id: o for o in scene.objects}
        self._by_label: dict[str, list[str]] = {}
        for o in scene.objects:
            self._by_label.setdefault(o.label, []).append(o.id)
        self._solids: dict[str, Solid] = {}
        self._distances: dict[tuple[str, str], float] = {}
        self._vsi_distances: dict[tuple[str, str], float] = {}

    @cached_property
    def functions(self) -> Mapping[str, Callable[..., object]]:
        """What a program can call, by name."""
        return {name: getattr(self, name) for name in FUNCTIONS}

    # Objects

    def labels(self) -> list[str]:
        """Labels that the scene has, sorted."""
        return sorted(self._by_label)

    def objects(self, label: str) -> list[str]:
        """Ids of all objects with this label, in the scene's order; empty where there is none."""
        return list(self._by_label.get(_text(label, "label"), ()))

    def one(self, label: str) -> str:
        """Id of the only object with this label; fails where there is none or several."""
        found = self._by_label.get(_text(label, "label"), [])
        if not found:
            raise MissingError(f"the scene has no {label!r}")
        if len(found) > 1:
            raise AmbiguousError(f"the scene has {len(found)} objects labelled {label!r}, not one")
        return found[0]

    def count(self, label: str) -> int:
        """How many objects with this label the source states, 0 included; fails for a label that it does not annotate."""
        label = _text(label, "label")
        counts = self.scene.counts
        if counts is None:
            return len(self._by_label.get(label, ()))
        if label not in counts:
            raise MissingError(f"the source of the scene does not annotate {label!r}, so its number is unknown")
        return counts[label]

    def label(self, obj: str) -> str:
        """Label of an object."""
        return self._object(obj).label

    def position(self, obj: str) -> Vector:
        """Centre of the object's box: x, y, z."""
        return self._object(obj).box.center

    def size(self, obj: str) -> Vector:
        """Edge lengths of the object's box, longest first. The box may be tilted: none of them need be the height."""
        a, b, c = sorted(self._object(obj).box.size, reverse=True)
        return a, b, c

    def longest_side(self, obj: str) -> float:
        """Longest edge of the object's box."""
        return max(self._object(obj).box.size)

    def distance(self, a: str, b: str) -> float:
        """Distance between the closest points of two objects' boxes; 0 where they touch."""
        key = self._pair(a, b)
        if key not in self._distances:
            self._distances[key] = closest_distance(self._solid(key[0]), self._solid(key[1]))
        return self._distances[key]

    def distance_vsi(self, a: str, b: str) -> float:
        """The same by VSI-Bench's rule: between 5 cm grids on the boxes, 0 to 0.15 m more than `distance`."""
        key = self._pair(a, b)
        if key not in self._vsi_distances:
            try:
                self._vsi_distances[key] = vsi_distance(self._objects[a].box, self._objects[b].box)
            except GridTooLargeError as error:
                raise MetadataError(str(error)) from error
        return self._vsi_distances[key]

    def bearing(self, standing: str, facing: str, query: str) -> float:
        """Angle, counter-clockwise seen from above, from (standing -> facing) to (standing -> query), in [0, 360)
        degrees.

        Between the boxes' centres, heights left out: 90 is straight to the left, 180 behind, 270 straight to the
        right.
        """
        here, front, there = self.position(standing), self.position(facing), self.position(query)
        if math.dist(here[:2], front[:2]) == 0 or math.dist(here[:2], there[:2]) == 0:
            raise MetadataError("two of the objects stand at the same place, so there is no direction between them")
        ahead = math.atan2(front[1] - here[1], front[0] - here[0])
        toward = math.atan2(there[1] - here[1], there[0] - here[0])
        return math.degrees(toward - ahead) % 360.0 % 360.0

    # The room

    def room_size(self) -> float:
        """Floor area of the room, square metres."""
        if self.scene.room_size_m2 is None:
            raise MetadataError("the scene does not know its room size")
        return self.scene.room_size_m2

    # Frames

    def frames(self) -> int:
        """Number of frames."""
        return len(self.scene.frames)

    def visible(self, frame: int, label: str) -> float:
        """Largest visible share, 0 to 1, of any object with this label in this frame; 0 where none is seen."""
        label, seen = _text(label, "label"), self._frame(frame).visible
        if seen is None:
            raise MetadataError(f"what frame {frame} shows is unknown")
        if label not in self._by_label:
            raise MissingError(f"the scene has no {label!r}")
        return max((s.ratio for s in seen if self._objects[s.object].label == label), default=0.0)

    def first_seen(self, label: str) -> int:
        """First frame in which at least a tenth of an object with this label is visible."""
        for frame in range(1, self.frames() + 1):
            if self.visible(frame, label) >= VISIBLE_RATIO:
                return frame
        raise MissingError(f"no frame shows a {_text(label, 'label')!r}")

    def time(self, frame: int) -> float:
        """Time of the frame in the video, seconds."""
        return self._frame(frame).time_s

    def camera(self, frame: int) -> Vector:
        """Where the camera stands in this frame: x, y, z."""
        pose = self._pose(frame)
        return pose[0][3], pose[1][3], pose[2][3]

    def camera_distance(self, frame: int, obj: str) -> float:
        """Distance between the camera in this frame and the closest point of the object's box; 0 inside it."""
        x, y, z = self.camera(frame)
        solid = self._solid(self._object(obj).id)
        local = [sum(axis[k] * ((x, y, z)[k] - solid.center[k]) for k in range(3)) for axis in solid.axes]
        return math.hypot(*(max(abs(p) - h, 0.0) for p, h in zip(local, solid.half, strict=True)))

    def camera_turn(self, i: int, j: int) -> float:
        """How far the camera's heading turned from frame i to frame j, the shorter way: (-180, 180] degrees, left positive."""
        a, b = self._heading(i), self._heading(j)
        turn = (b - a) % 360.0
        return turn if turn <= 180.0 else turn - 360.0

    def camera_move(self, i: int, j: int) -> Vector:
        """Where the camera stands in frame j as seen from frame i: metres forward, to the left, and up.

        Forward is the heading in frame i, level with the floor.
        """
        a, b, heading = self.camera(i), self.camera(j), math.radians(self._heading(i))
        dx, dy = b[0] - a[0], b[1] - a[1]
        c, s = math.cos(heading), math.sin(heading)
        return dx * c + dy * s, -dx * s + dy * c, b[2] - a[2]

    # What the functions above stand on

    def _object(self, obj: str) -> SceneObject:
        found = self._objects.get(_text(obj, "object id"))
        if found is None:
            raise MissingError(f"the scene has no object with the id {obj!r}; ids come from objects() and one()")
        return found

    def _solid(self, obj: str) -> Solid:
        if obj not in self._solids:
            self._solids[obj] = Solid(self._object(obj).box)
        return self._solids[obj]

    def _pair(self, a: str, b: str) -> tuple[str, str]:
        first, second = self._object(a).id, self._object(b).id
        return (first, second) if first <= second else (second, first)

    def _frame(self, frame: int) -> Frame:
        if type(frame) is not int:
            raise TypeError(f"a frame is an integer from 1 on, not {type(frame).__name__}")
        if not 1 <= frame <= len(self.scene.frames):
            raise MissingError(f"there is no such frame; the scene has frames 1 to {len(self.scene.frames)}")
        return self.scene.frames[frame - 1]

    def _pose(self, frame: int) -> Matrix4:
        pose = self._frame(frame).pose
        if pose is None:
            raise MetadataError(f"the pose of frame {frame} is unknown")
        return pose

    def _heading(self, frame: int) -> float:
        """Direction of the camera's z axis on the floor, degrees counter-clockwise from x."""
        pose = self._pose(frame)
        x, y = pose[0][2], pose[1][2]
        if math.hypot(x, y) < MIN_LEVEL_PART:
            raise MetadataError(f"the camera of frame {frame} looks straight up or down and has no heading")
        return math.degrees(math.atan2(y, x))


MIN_LEVEL_PART = 0.1
"""Shortest projection on the floor of the camera's unit view axis that still has a heading: 84 degrees up or down."""

FUNCTIONS = (
    "labels", "objects", "one", "count", "label", "position", "size", "longest_side", "distance", "distance_vsi", "bearing",
    "room_size", "frames", "visible", "first_seen", "time", "camera", "camera_distance", "camera_turn", "camera_move",
)  # fmt: skip
"""Names that programs can call."""


def _text(value: object, what: str) -> str:
    # A foreign value is not hashed, compared or printed before its type is known: shared structure makes all three exponential.
    if type(value) is not str:
        raise TypeError(f"{what} must be a string, not {type(value).__name__}")
    if len(value) > MAX_TEXT:
        raise MissingError(f"a {what} of {len(value)} characters is in no scene")
    return value


_kept: OrderedDict[int, Geometry] = OrderedDict()


def geometry(scene: Scene) -> Geometry:
    """The library over this scene object; the last few are kept with what they computed (and keep their scene alive)."""
    found = _kept.get(id(scene))
    if found is None:
        found = _kept[id(scene)] = Geometry(scene)
        if len(_kept) > KEPT_SCENES:
            _kept.popitem(last=False)
    return found
