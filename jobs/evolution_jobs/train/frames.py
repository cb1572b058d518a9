"""The frames of scenes as the solver sees them, kept in memory as far as they are small. Called by `loop`."""

from PIL.Image import Image

from evolution_api.run.spec import EvolutionRunSpec
from evolution_jobs.program import BadInputError
from evolution_jobs.scene_batches import frames_shown
from evolution_jobs.scenes.library import SceneError, SceneLibrary

CACHE_BYTES = 512 * 2**20
"""Decoded frames that a process keeps; beyond it they are read again at each use."""


class Frames:
    def __init__(self, root_uri: str, spec: EvolutionRunSpec) -> None:
        self.library = SceneLibrary(root_uri, spec.storage.endpoint)
        self.scenes = spec.scenes
        self.kept: dict[str, list[Image]] = {}
        self.room = CACHE_BYTES

    def of(self, scene_id: str) -> list[Image]:
        """Raises BadInputError where the scene cannot be read."""
        if scene_id in self.kept:
            return self.kept[scene_id]
        try:
            images = frames_shown(self.library, self.scenes, scene_id)
        except SceneError as error:
            raise BadInputError(
                f"scene {scene_id} has questions to train on but cannot be read: {error}; mend the scene"
            ) from error
        size = sum(3 * image.width * image.height for image in images)
        if size <= self.room:
            self.kept[scene_id] = images
            self.room -= size
        return images
