"""Prepared scenes on disk, and the stage program that makes or checks them."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evolution_api.jobs import StageInput
from evolution_api.layout import HELDOUT_KEY, RUN_KEY, SCENE_PLAN_KEY, SCENES_PREFIX
from evolution_api.question import Question
from evolution_api.run.difficulty import Difficulty
from evolution_api.run.scenes import Procedural
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import ScenePlan
from evolution_jobs.prepare import main
from evolution_jobs.program import BadInputError
from evolution_jobs.scenes.library import SceneError, SceneLibrary
from evolution_jobs.scenes.prepare import prepare_procedural, room_seed
from evolution_storage.manifests import committed
from evolution_storage.tables import from_parquet
from evolution_storage.uri import run_store

KINDS = ["object_counting", "object_existence", "room_size_estimation", "object_visibility"]
ROOMS = {"rooms": 5, "objectsMin": 4, "objectsMax": 6, "width": 32, "height": 32}


def job(folder: Path, **scenes: Any) -> StageInput:
    spec = {
        "model": {"uri": "file:///none"},
        "scenes": {"framesPerScene": 3, **scenes},
        "generation": {"kinds": KINDS},
        "evaluation": {"heldout": {"scenes": 2, "questionsPerKind": 4}},
        "storage": {"uri": f"file://{folder}/store"},
    }
    return StageInput(
        namespace="default", run="test", uid="u1", stage="prepare", round=0, spec=EvolutionRunSpec.model_validate(spec)
    )


def plan_of(job: StageInput) -> ScenePlan:
    return ScenePlan.model_validate_json(run_store(job).read(SCENE_PLAN_KEY))


def digest(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_rooms_are_prepared_whole_and_a_second_call_changes_nothing(tmp_path: Path) -> None:
    spec = Procedural.model_validate(ROOMS)
    uri = f"file://{tmp_path}"
    seen: list[tuple[int, int]] = []
    train, held = prepare_procedural(uri, spec, 3, 2, heldout=2, progress=lambda done, total: seen.append((done, total)))
    assert (train, held) == (["room-00000", "room-00001", "room-00002"], ["heldout-00000", "heldout-00001"])
    assert seen == [(i, 5) for i in range(1, 6)]
    library = SceneLibrary(uri)
    for scene_id in library.ids():
        library.check(scene_id, library.scene(scene_id))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    prepare_procedural(uri, spec, 3, 2, heldout=2)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("lost", ["scene.json", "frames/001.png", "frames"])
def test_what_a_killed_run_left_unfinished_is_made_again_with_the_same_bytes(tmp_path: Path, lost: str) -> None:
    spec = Procedural.model_validate(ROOMS)
    prepare_procedural(f"file://{tmp_path}", spec, 3, 2)
    whole = digest(tmp_path)
    gone = tmp_path / "room-00001" / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    prepare_procedural(f"file://{tmp_path}", spec, 3, 2)
    assert digest(tmp_path) == whole


def test_rooms_of_another_seed_replace_those_of_the_same_name(tmp_path: Path) -> None:
    spec = Procedural.model_validate(ROOMS)
    for folder, seeds in (("a", (3, 4)), ("b", (4,))):
        for seed in seeds:
            prepare_procedural(f"file://{tmp_path}/{folder}", spec, seed, 2)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_no_training_room_shares_its_seed_with_a_heldout_one_or_with_another_runs() -> None:
    seeds = [room_seed(run, i, heldout=h) for run in (0, 1, 2**31 - 1) for h in (False, True) for i in (0, 99_999)]
    assert len(set(seeds)) == len(seeds)


def test_the_stage_makes_rooms_a_plan_and_heldout_questions(tmp_path: Path) -> None:
    stage = job(tmp_path, procedural=ROOMS)
    summary = main(stage)
    plan = plan_of(stage)
    assert plan.root_uri == f"file://{tmp_path}/store/default/test/u1/{SCENES_PREFIX}"
    assert (len(plan.train), len(plan.heldout), plan.benchmark, plan.skipped) == (3, 2, (), {})
    assert (summary.train, summary.heldout, summary.skipped, summary.benchmark) == (3, 2, 0, 0)
    questions = from_parquet(run_store(stage).read(HELDOUT_KEY), Question)
    assert {q.scene for q in questions} <= set(plan.heldout)
    assert {q.kind for q in questions} <= set(KINDS)
    assert summary.questions == Counter(q.kind for q in questions) != {}
    assert {len(SceneLibrary(plan.root_uri).scene(i).frames) for i in plan.train} == {3}
    assert StageInput.model_validate_json(run_store(stage).read(RUN_KEY)) == stage


def test_the_stage_is_done_once_and_writes_the_same_bytes_wherever_it_runs(tmp_path: Path) -> None:
    first, second = job(tmp_path / "a", procedural=ROOMS), job(tmp_path / "b", procedural=ROOMS)
    summary = main(first)
    before = digest(tmp_path / "a")
    assert main(first) == summary
    assert digest(tmp_path / "a") == before
    main(second)
    here, there = (run_store(j).read(HELDOUT_KEY) for j in (first, second))
    assert here == there


def test_coverage_draws_more_frames_than_it_keeps(tmp_path: Path) -> None:
    stage = job(tmp_path, procedural=ROOMS, frameSampling="coverage")
    main(stage)
    library = SceneLibrary(plan_of(stage).root_uri)
    assert {len(library.scene(i).frames) for i in library.ids()} == {6}


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Six valid scenes."""
    folder = tmp_path / "scenes"
    prepare_procedural(f"file://{folder}", Procedural.model_validate({**ROOMS, "rooms": 6}), 0, 4)
    return folder


def test_given_scenes_are_split_by_seed_and_used_where_they_lie(tmp_path: Path, prepared: Path) -> None:
    stage = job(tmp_path, uri=f"file://{prepared}")
    main(stage)
    plan = plan_of(stage)
    assert plan.root_uri == f"file://{prepared}"
    assert sorted(plan.train + plan.heldout) == [f"room-{i:05d}" for i in range(6)]
    assert (list(plan.train), list(plan.heldout)) == (sorted(plan.train), sorted(plan.heldout))
    assert not run_store(stage).list(SCENES_PREFIX)


def test_limit_takes_fewer_scenes(tmp_path: Path, prepared: Path) -> None:
    stage = job(tmp_path, uri=f"file://{prepared}", limit=4)
    main(stage)
    assert (len(plan_of(stage).train), len(plan_of(stage).heldout)) == (2, 2)


def test_scenes_that_cannot_be_used_are_skipped_with_their_reason(tmp_path: Path, prepared: Path) -> None:
    (prepared / "room-00001/scene.json").write_text("{")
    (prepared / "room-00002/frames/003.png").unlink()
    (prepared / "empty").mkdir()
    stage = job(tmp_path, uri=f"file://{prepared}")
    summary = main(stage)
    plan = plan_of(stage)
    assert sorted(plan.skipped) == ["empty", "room-00001", "room-00002"]
    assert "JSON" in plan.skipped["room-00001"]
    assert "frames/003.png is missing" in plan.skipped["room-00002"]
    assert (summary.skipped, summary.train) == (3, 2)


def test_benchmark_scenes_are_refused_unless_the_run_says_so(tmp_path: Path, prepared: Path) -> None:
    for path in prepared.glob("*/scene.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "benchmark": "vsi-bench"}))
    with pytest.raises(BadInputError, match=r"room-0000\d.*vsi-bench.*allowBenchmarkScenes: true"):
        main(job(tmp_path, uri=f"file://{prepared}"))
    stage = job(tmp_path, uri=f"file://{prepared}", allowBenchmarkScenes=True)
    assert main(stage).benchmark == 4
    assert plan_of(stage).benchmark == ("vsi-bench",)


@pytest.mark.parametrize(
    ("scenes", "words"),
    [
        pytest.param({"uri": "file:///nowhere/at/all"}, ["scenes.uri", "no folder"], id="missing-folder"),
        pytest.param({"uri": "file://{empty}"}, ["scenes.uri", "holds no scenes", "evolution prepare"], id="empty-folder"),
        pytest.param({"procedural": {**ROOMS, "furniture": ["throne"]}}, ["scenes.procedural", "throne", "sofa"], id="furniture"),
    ],
)
def test_scenes_that_cannot_make_a_run_are_refused_in_words(tmp_path: Path, scenes: dict[str, Any], words: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    if "uri" in scenes:
        scenes = {"uri": scenes["uri"].replace("{empty}", str(tmp_path / "empty"))}
    stage = job(tmp_path, **scenes)
    with pytest.raises(BadInputError) as caught:
        main(stage)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert committed(run_store(stage), stage.uid, "rounds/0000/prepare/manifest.json") is None


def test_one_training_scene_cannot_be_probed_by_seeing(tmp_path: Path) -> None:
    stage = job(tmp_path, procedural={**ROOMS, "rooms": 3})
    seeing = stage.spec.model_copy(update={"difficulty": Difficulty(rule="seeing")})
    with pytest.raises(BadInputError, match="another training scene, and there is only one"):
        main(stage.model_copy(update={"spec": seeing}))
    assert main(stage).train == 1


def test_too_few_usable_scenes_are_refused_with_the_reasons_of_the_others(tmp_path: Path, prepared: Path) -> None:
    for i in range(4):
        (prepared / f"room-{i:05d}/scene.json").unlink()
    with pytest.raises(BadInputError, match=r"2 of its 6 scenes can be used.*room-00000: .*does not exist"):
        main(job(tmp_path, uri=f"file://{prepared}"))


def test_frames_on_disk_are_the_images_that_were_drawn(prepared: Path) -> None:
    from evolution_jobs.scenes.render import make_scene

    library = SceneLibrary(f"file://{prepared}")
    scene, images = make_scene(room_seed(0, 2, heldout=False), 4, 32, 32, objects_min=4, objects_max=6, scene_id="room-00002")
    assert library.scene("room-00002") == scene
    for frame, image in zip(scene.frames, images, strict=True):
        assert np.array_equal(np.asarray(library.image("room-00002", frame)), image)
    with pytest.raises(SceneError):
        library.scene("room-00009")
