"""Stage program `prepare` of round 0: which scenes the run has, which are held out, and what is asked of those in every round.

Reads: the scenes at `scenes.uri`, or nothing (`scenes.procedural`: it makes the rooms, below the run's own prefix).
Writes: run.json, the ScenePlan, the held-out questions and, last, the manifest. A scene that cannot be used is skipped, with its
reason in the plan.

    EVOLUTION_INPUT='{...}' python -m evolution_jobs.prepare
"""

import random
from collections import Counter
from typing import NamedTuple

from evolution_api.jobs import StageInput
from evolution_api.kinds import KINDS
from evolution_api.layout import HELDOUT_KEY, RUN_KEY, SCENE_PLAN_KEY, SCENES_PREFIX
from evolution_api.question import Question
from evolution_api.run.scenes import Procedural
from evolution_api.scene import Scene, ScenePlan
from evolution_api.summaries import PrepareSummary
from evolution_jobs.program import BadInputError, log, once, progress, run
from evolution_jobs.questions.heldout import heldout_questions
from evolution_jobs.scenes.library import SceneError, SceneLibrary, reduce
from evolution_jobs.scenes.prepare import prepare_procedural
from evolution_storage.manifests import commit
from evolution_storage.store import Store
from evolution_storage.tables import to_parquet

COVERAGE_POOL = 2
"""Frames made of a room for each one that `coverage` keeps of it."""
NAMED = 5
"""Most scenes that an error names."""


class Split(NamedTuple):
    root_uri: str
    train: list[str]
    heldout: list[str]
    skipped: dict[str, str]
    benchmarks: dict[str, str]
    """Scene id -> benchmark, of the scenes trained on."""


def prepare(job: StageInput, store: Store, _: int | None) -> PrepareSummary:
    made_here = job.spec.scenes.procedural
    split = listed_scenes(job) if made_here is None else procedural_scenes(job, made_here)
    for scene_id, reason in sorted(split.skipped.items()):
        log.warning("scene %s is skipped: %s", scene_id, reason)
    if len(split.train) == 1 and job.spec.difficulty.rule == "seeing":
        raise BadInputError(
            "difficulty.rule seeing shows every question the frames of another training scene, and there is only one; "
            "give more scenes, keep fewer in evaluation.heldout.scenes, or use rule: paper"
        )
    library = SceneLibrary(split.root_uri, job.spec.storage.endpoint)
    questions = heldout_questions([_as_seen(job, library.scene(i)) for i in split.heldout], job.spec, job.spec.seed)
    if not questions:
        raise BadInputError(
            f"none of the {len(split.heldout)} held-out scenes can be asked any of "
            f"{', '.join(job.spec.generation.kinds)}; allow more kinds in generation.kinds, or give scenes with more "
            f"objects, poses or visibility"
        )
    plan = ScenePlan(
        root_uri=split.root_uri,
        train=tuple(split.train),
        heldout=tuple(split.heldout),
        benchmark=tuple(sorted(set(split.benchmarks.values()))),
        skipped=dict(sorted(split.skipped.items())),
    )
    of_kind = Counter(question.kind for question in questions)
    summary = PrepareSummary(
        train=len(plan.train),
        heldout=len(plan.heldout),
        skipped=len(plan.skipped),
        benchmark=len(split.benchmarks),
        questions={kind: of_kind[kind] for kind in KINDS if of_kind[kind]},
    )
    files = {
        RUN_KEY: job.model_copy(update={"attempt": 1}).model_dump_json(by_alias=True, exclude_none=True, indent=1).encode(),
        SCENE_PLAN_KEY: plan.model_dump_json(indent=1).encode(),
        HELDOUT_KEY: to_parquet(questions, Question),
    }
    commit(store, job, files, summary)
    return summary


def procedural_scenes(job: StageInput, spec: Procedural) -> Split:
    """Make the run's rooms; held-out ones come from seeds that no training room has."""
    scenes, heldout = job.spec.scenes, job.spec.evaluation.heldout.scenes
    rooms = min(spec.rooms, scenes.limit or spec.rooms)
    root_uri = f"{job.spec.storage.uri.rstrip('/')}/{job.prefix}/{SCENES_PREFIX}"
    frames = scenes.frames_per_scene * (COVERAGE_POOL if scenes.frame_sampling == "coverage" else 1)
    try:
        train, held = prepare_procedural(
            root_uri,
            spec.model_copy(update={"rooms": rooms}),
            job.spec.seed,
            frames,
            heldout=heldout,
            endpoint=job.spec.storage.endpoint,
            progress=lambda done, total: progress(done, total, "scenes"),
        )
    except ValueError as error:  # what the catalogue refuses: unknown furniture, too many objects
        raise BadInputError(f"scenes.procedural: {error}") from error
    return Split(root_uri, train, held, {}, {})


def listed_scenes(job: StageInput) -> Split:
    """Check the scenes at `scenes.uri` and split those that can be used, both in an order that follows from the seed."""
    scenes, wanted_heldout = job.spec.scenes, job.spec.evaluation.heldout.scenes
    assert scenes.uri is not None  # the contract asks for exactly one source
    library = SceneLibrary(scenes.uri, job.spec.storage.endpoint)
    try:
        ids = library.ids()
    except SceneError as error:
        raise BadInputError(f"scenes.uri {scenes.uri!r}: {error}") from error
    if not ids:
        raise BadInputError(
            f"scenes.uri {scenes.uri!r} holds no scenes; write some there with `evolution prepare`, or name another place"
        )
    random.Random(f"split {job.spec.seed}").shuffle(ids)  # noqa: S311 - a split by seed, no secret
    usable: dict[str, Scene] = {}
    skipped: dict[str, str] = {}
    for tried, scene_id in enumerate(ids, 1):
        if len(usable) == scenes.limit:
            break
        try:
            usable[scene_id] = _usable(job, library, scene_id)
        except SceneError as error:
            skipped[scene_id] = str(error)
        progress(tried, len(ids), "scenes", skipped=len(skipped))
    chosen = list(usable)
    if len(chosen) <= wanted_heldout:
        reasons = "".join(f"; {name}: {why}" for name, why in sorted(skipped.items())[:NAMED])
        raise BadInputError(
            f"scenes.uri {scenes.uri!r}: {len(chosen)} of its {len(ids)} scenes can be used (scenes.limit {scenes.limit}), and "
            f"evaluation.heldout.scenes keeps {wanted_heldout}: none is left to train on. "
            f"Lower heldout.scenes, or add or mend scenes{reasons}"
        )
    train = sorted(chosen[wanted_heldout:])
    benchmarks = {name: scene.benchmark for name in train if (scene := usable[name]).benchmark is not None}
    if benchmarks and not scenes.allow_benchmark_scenes:
        more = f" and {len(benchmarks) - NAMED} more" if len(benchmarks) > NAMED else ""
        names = ", ".join(list(benchmarks)[:NAMED]) + more
        of = ", ".join(sorted(set(benchmarks.values())))
        raise BadInputError(
            f"scenes.uri {scenes.uri!r}: {names} are validation scenes of {of}: a model trained on them "
            f"cannot be measured there any more. Take them out, or set scenes.allowBenchmarkScenes: true, and the run, its "
            f"report and its checkpoints will say so"
        )
    return Split(scenes.uri, train, sorted(chosen[:wanted_heldout]), skipped, benchmarks)


def _usable(job: StageInput, library: SceneLibrary, scene_id: str) -> Scene:
    """The scene as the solver will see it, its images decoded; raises SceneError."""
    scene = library.scene(scene_id)
    if not scene.frames:
        raise SceneError(
            f"{scene_id} has no frames: there is nothing to look at; prepare it with `render: layout` or with its video"
        )
    if not scene.objects:
        raise SceneError(f"{scene_id} has no objects: there is nothing to ask about")
    scene = _as_seen(job, scene)
    library.check(scene_id, scene)
    return scene


def _as_seen(job: StageInput, scene: Scene) -> Scene:
    """The scene with the frames that the solver will see."""
    return reduce(scene, job.spec.scenes.frames_per_scene, job.spec.scenes.frame_sampling)


main = once(prepare)

if __name__ == "__main__":
    run(main)
