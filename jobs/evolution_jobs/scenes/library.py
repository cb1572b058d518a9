"""Prepared scenes read back: a folder or an S3 prefix with `<scene id>/scene.json` and the frames that it names.

Every program that looks at scenes comes through here. What cannot be used is a SceneError whose message says why;
what follows from that is the caller's.
"""

import io
from collections.abc import Sequence
from typing import Literal

import PIL.Image
from pydantic import ValidationError

from evolution_api.scene import Frame, Scene
from evolution_storage.uri import open_store

SCENE_FILE = "scene.json"
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP")
"""Formats of frames; Pillow's decoders of rarer ones are not let near files that anybody may have written."""


class SceneError(ValueError):
    """This scene cannot be used, and why."""


class SceneLibrary:
    def __init__(self, root_uri: str, endpoint: str | None = None) -> None:
        """`root_uri` is file:///folder or s3://bucket/prefix. Raises ValueError for another one."""
        self.root_uri = root_uri
        self.store = open_store(root_uri, endpoint)

    def ids(self) -> list[str]:
        """Names of all folders below the root, sorted, empty ones too; raises SceneError where there is no root."""
        root = self.store.local_path("")
        if root is None:
            return sorted({key.split("/")[0] for key in self.store.list("") if "/" in key})
        if not root.is_dir():
            raise SceneError(f"{root} is no folder: `evolution prepare` writes prepared scenes there, or name the right folder")
        return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))

    def scene(self, scene_id: str) -> Scene:
        """The scene with all its frames, checked; the frames' images are not looked at."""
        key = f"{scene_id}/{SCENE_FILE}"
        try:
            data = self.store.read(key)
        except KeyError:
            raise SceneError(f"{self.root_uri}/{key} does not exist: the scene was never prepared, or only in part") from None
        scene = parse_scene(data, key)
        if scene.id != scene_id:
            raise SceneError(f"{key}: id {scene.id!r} is not the name of its folder {scene_id!r}; rename one of them")
        return scene

    def image(self, scene_id: str, frame: Frame) -> PIL.Image.Image:
        """The frame as RGB, decoded to its last byte."""
        key = f"{scene_id}/{frame.file}"
        if any(step in ("", ".", "..") for step in frame.file.split("/")):
            raise SceneError(f"{key}: a frame's file lies in its scene's own folder; take the dots out of the path")
        try:
            path = self.store.local_path(key)
            data = self.store.read(key) if path is None else path.read_bytes()
        except (KeyError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise SceneError(f"frame {key} is missing; prepare the scene again, or take the frame out of {SCENE_FILE}") from None
        return decode_frame(data, frame, key)

    def check(self, scene_id: str, scene: Scene) -> None:
        """Decode the image of every frame of `scene`; raises SceneError for the first that fails."""
        for frame in scene.frames:
            self.image(scene_id, frame)


def parse_scene(data: bytes, name: str) -> Scene:
    """Raises SceneError with the first thing that is wrong; `name` is what the message calls the file."""
    try:
        return Scene.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        what = first["msg"].removeprefix("Value error, ")
        raise SceneError(f"{name}: {where}: {what}; mend it, or prepare the scene again") from error


def decode_frame(data: bytes, frame: Frame, name: str) -> PIL.Image.Image:
    """The picture as RGB; its size is looked at before a pixel is, so that a small file cannot fill the memory."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            size = image.size
            if size == (frame.width, frame.height):
                return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise SceneError(
            f"frame {name} cannot be decoded ({error}): the image is truncated, broken or none of {', '.join(IMAGE_FORMATS)}; "
            "write it again"
        ) from error
    raise SceneError(
        f"frame {name} is {size[0]}x{size[1]} pixels, its {SCENE_FILE} says {frame.width}x{frame.height}; make them agree"
    )


def reduce(scene: Scene, frames: int, sampling: Literal["uniform", "coverage"]) -> Scene:
    """The scene with at most `frames` of its frames, still in time's order.

    `uniform`: evenly spaced, the first and the last among them. `coverage`: one by one the frame that raises the
    objects' best visible ratios most in sum, ties to the earlier; uniform where no visibility is known.
    """
    if frames < 1:
        raise ValueError(f"frames {frames}: a scene keeps at least 1")
    total = len(scene.frames)
    if total <= frames:
        return scene
    if sampling == "coverage" and any(f.visible is not None for f in scene.frames):
        chosen = _covering(scene, frames)
    else:
        chosen = _evenly(total, frames)
    return scene.model_copy(update={"frames": tuple(scene.frames[i] for i in chosen)})


def _evenly(total: int, wanted: int) -> list[int]:
    if wanted == 1:
        return [0]
    return [(2 * i * (total - 1) + wanted - 1) // (2 * (wanted - 1)) for i in range(wanted)]  # rounds half up


def _covering(scene: Scene, wanted: int) -> list[int]:
    ratios = [{s.object: s.ratio for s in frame.visible or ()} for frame in scene.frames]
    best: dict[str, float] = {}
    chosen: list[int] = []
    while len(chosen) < wanted:
        left = [i for i in range(len(ratios)) if i not in chosen]
        gains = {i: sum(max(0.0, r - best.get(o, 0.0)) for o, r in ratios[i].items()) for i in left}
        pick = max(left, key=lambda i: (gains[i], -i))
        if gains[pick] <= 0:  # everything is seen as well as it will be: fill up evenly in time
            chosen += [left[i] for i in _evenly(len(left), wanted - len(chosen))]
            break
        chosen.append(pick)
        for o, r in ratios[pick].items():
            best[o] = max(best.get(o, 0.0), r)
    return sorted(chosen)


def elsewhere(ids: Sequence[str], scene_id: str) -> str:
    """The scene whose frames stand in for those of `scene_id`: half the list further on. With one scene alone, itself."""
    n = len(ids)
    return ids[(ids.index(scene_id) + max(1, n // 2)) % n]
