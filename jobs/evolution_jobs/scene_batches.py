"""Which questions are asked before which scene's frames, so that one visual prefix serves all of them.

A question is asked with its own scene's frames and, where seeing is measured, once more with another scene's. Both are
grouped by the scene whose frames are shown: a scene's frames stand before its own questions and before those of the
scene that borrows them, and are computed once for both. Called by the probe and by evaluate; it knows neither models
nor servers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from PIL.Image import Image

from evolution_api.question import Question
from evolution_api.run.scenes import Scenes
from evolution_jobs.scenes.library import SceneLibrary, elsewhere, reduce

MAX_QUESTIONS = 64
"""Questions behind one prefix: attention grows with the square of their number, and the prefix is long paid for by then."""


class Asked(NamedTuple):
    question: int
    """Position in the list of questions."""
    own: bool
    """With its own scene's frames, not with another's."""


class SceneBatch(NamedTuple):
    scene: str
    """Whose frames are shown."""
    asked: tuple[Asked, ...]


def everything(questions: Sequence[Question], *, elsewhere_too: bool) -> list[Asked]:
    """Every question once with its own frames and, if wanted, once more with another scene's."""
    asked = [Asked(i, True) for i in range(len(questions))]
    return asked + [Asked(i, False) for i in range(len(questions))] if elsewhere_too else asked


def batches_by_scene(asked: Sequence[Asked], questions: Sequence[Question], scene_ids: Sequence[str]) -> list[SceneBatch]:
    """Group `asked` by the frames shown, in order of first use, at most MAX_QUESTIONS each.

    `scene_ids` are the scenes that may stand in for one another, in the order of the plan.
    """
    lender = {scene: elsewhere(scene_ids, scene) for scene in {questions[a.question].scene for a in asked if not a.own}}
    by_frames: dict[str, list[Asked]] = {}
    for a in asked:
        scene = questions[a.question].scene
        by_frames.setdefault(scene if a.own else lender[scene], []).append(a)
    return [
        SceneBatch(scene, tuple(group[start : start + MAX_QUESTIONS]))
        for scene, group in by_frames.items()
        for start in range(0, len(group), MAX_QUESTIONS)
    ]


def frames_shown(library: SceneLibrary, scenes: Scenes, scene_id: str) -> list[Image]:
    """The frames of a scene that the solver sees, RGB, in the order of time; raises SceneError where one cannot be read."""
    scene = reduce(library.scene(scene_id), scenes.frames_per_scene, scenes.frame_sampling)
    return [library.image(scene_id, frame) for frame in scene.frames]
