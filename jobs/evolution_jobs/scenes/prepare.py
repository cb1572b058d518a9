"""Write prepared scenes: `<id>/frames/000.png` ... first, `<id>/scene.json` last, so that a killed run leaves no half scene.

The stage program `evolution_jobs.prepare` and `evolution prepare` call it. A scene that is already there and whole is left
alone; another one of its name is replaced. It knows nothing of runs, splits or questions.
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import PIL.Image

from evolution_api.run.scenes import Procedural
from evolution_api.scene import Scene, SceneObject
from evolution_jobs.scenes.library import SCENE_FILE, SceneError, SceneLibrary
from evolution_jobs.scenes.render import Image, make_scene, scene_objects
from evolution_jobs.scenes.rooms import HELDOUT_SEED_OFFSET, make_room
from evolution_jobs.scenes.vsibench import layout_scene, scenes_from_metadata
from evolution_storage.store import Store

Progress = Callable[[int, int], None]
"""Called with (scenes done, scenes in all)."""


def _silent(_done: int, _total: int) -> None:
    return None


def room_seed(run_seed: int, index: int, *, heldout: bool) -> int:
    """Seed of a run's room; training, held-out and other runs' rooms never share one."""
    return run_seed * 2 * HELDOUT_SEED_OFFSET + heldout * HELDOUT_SEED_OFFSET + index


def prepare_procedural(
    root_uri: str,
    spec: Procedural,
    seed: int,
    frames: int,
    *,
    heldout: int = 0,
    endpoint: str | None = None,
    progress: Progress = _silent,
) -> tuple[list[str], list[str]]:
    """Make `spec.rooms` rooms, the last `heldout` of them from a seed range of their own; returns (training ids, held-out ids).

    Raises ValueError for furniture that the catalogue lacks or rooms too small for their objects.
    """
    library = SceneLibrary(root_uri, endpoint)
    train = [f"room-{i:05d}" for i in range(spec.rooms - heldout)]
    held = [f"heldout-{i:05d}" for i in range(heldout)]
    jobs = [(name, room_seed(seed, i, heldout=False)) for i, name in enumerate(train)]
    jobs += [(name, room_seed(seed, i, heldout=True)) for i, name in enumerate(held)]
    furniture = spec.furniture or None
    for done, (scene_id, number) in enumerate(jobs, 1):
        objects = scene_objects(make_room(number, furniture, spec.objects_min, spec.objects_max))
        if not is_prepared(library, scene_id, objects, spec.width, spec.height, frames):
            scene, images = make_scene(
                number,
                frames,
                spec.width,
                spec.height,
                furniture=furniture,
                objects_min=spec.objects_min,
                objects_max=spec.objects_max,
                scene_id=scene_id,
            )
            write_scene(library.store, scene, images)
        progress(done, len(jobs))
    return train, held


def prepare_vsibench(
    metadata: Path,
    root_uri: str,
    *,
    limit: int | None = None,
    frames: int = 32,
    width: int = 320,
    height: int = 240,
    render: Literal["layout"] | None = "layout",
    endpoint: str | None = None,
    progress: Progress = _silent,
) -> list[str]:
    """Turn official metadata (a file, or a folder of such files) into prepared scenes; returns their ids.

    `render` layout draws the boxes and walls from a camera walk; None leaves the scenes without frames. `limit` takes the first
    of the sorted names. Raises SceneError where the metadata cannot be read.
    """
    scenes = scenes_from_metadata(metadata)
    chosen = sorted(scenes)[:limit]
    library = SceneLibrary(root_uri, endpoint)
    for done, scene_id in enumerate(chosen, 1):
        wanted = 0 if render is None else frames
        if not is_prepared(library, scene_id, scenes[scene_id].objects, width, height, wanted):
            scene, images = (scenes[scene_id], []) if render is None else layout_scene(scenes[scene_id], frames, width, height)
            write_scene(library.store, scene, images)
        progress(done, len(chosen))
    return chosen


def is_prepared(
    library: SceneLibrary, scene_id: str, objects: tuple[SceneObject, ...], width: int, height: int, frames: int
) -> bool:
    """Whether this very scene is there, whole and with frames of that number and size."""
    try:
        scene = library.scene(scene_id)
        library.check(scene_id, scene)
    except SceneError:
        return False
    return (
        scene.objects == objects
        and len(scene.frames) == frames
        and all((f.width, f.height) == (width, height) for f in scene.frames)
    )


def write_scene(store: Store, scene: Scene, images: Sequence[Image]) -> None:
    """`images` in the order of `scene.frames`."""
    store.delete(f"{scene.id}/{SCENE_FILE}")  # while frames change there is no scene
    for frame, image in zip(scene.frames, images, strict=True):
        buffer = io.BytesIO()
        PIL.Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
        store.write(f"{scene.id}/{frame.file}", buffer.getvalue())
    store.write(f"{scene.id}/{SCENE_FILE}", scene.model_dump_json().encode())
