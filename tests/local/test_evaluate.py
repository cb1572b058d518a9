"""Evaluation of a tiny random model on rooms of noise: the numbers follow from the answers, the answers from the frames."""

import importlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.summaries import stage_summary

from evolution_api.figures import Figures
from evolution_api.jobs import StageInput
from evolution_api.kinds import Kind
from evolution_api.layout import HELDOUT_KEY, SCENE_PLAN_KEY, checkpoint_prefix, manifest_key, stage_prefix
from evolution_api.question import Question
from evolution_api.results import Answered
from evolution_api.scene import Frame, Scene, ScenePlan
from evolution_jobs.model.prompts import prompt_text, spoken
from evolution_jobs.program import BadInputError
from evolution_jobs.questions.scoring import score
from evolution_jobs.scene_batches import frames_shown
from evolution_jobs.scenes.library import SceneError, SceneLibrary
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.tables import from_parquet, to_parquet
from evolution_storage.uri import run_store

pytestmark = pytest.mark.slow

program: Any = importlib.import_module("evolution_jobs.evaluate.__main__")

HELDOUT = ("held-0", "held-1", "held-2", "held-3")
FRAMES = 3


def questions() -> list[Question]:
    """Of every held-out room: three counts, a choice and a size."""
    shapes: list[tuple[Kind, str, tuple[str, ...], str | None, str]] = [
        *(("object_counting", "count", (), None, str(i + 1)) for i in range(3)),
        ("object_rel_distance", "choice", ("chair", "lamp", "table"), None, "lamp"),
        ("room_size_estimation", "number", (), "m2", "20.5"),
    ]
    return [
        Question.model_validate(
            {
                "kind": kind,
                "text": f"question {i} on what is in this room ?",
                "answer_type": answer_type,
                "options": options,
                "unit": unit,
                "program": "1",
                "id": f"{scene}-{i}",
                "scene": scene,
                "answer": answer,
                "round": 0,
                "proposer": "grammar",
            }
        )
        for scene in HELDOUT
        for i, (kind, answer_type, options, unit, answer) in enumerate(shapes)
    ]


def build_model(folder: Path, seed: int) -> None:
    import torch

    from evolution_jobs.model.solver import Solver
    from evolution_jobs.tiny import qwen3_vl

    qwen3_vl.build(folder, seed=seed)
    solver = Solver.load(folder, "float32", "cpu")
    with torch.no_grad():
        for weights in solver.model.parameters():
            if weights.ndim > 1:
                weights *= 4
    solver.model.save_pretrained(folder)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate")
    build_model(root / "model", seed=3)
    noise = random.Random(0)
    for scene in HELDOUT:
        folder = root / "scenes" / scene
        folder.mkdir(parents=True)
        frames = tuple(Frame(file=f"{i}.png", time_s=i, width=64, height=64) for i in range(FRAMES))
        for frame in frames:
            Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3)).save(folder / frame.file)
        (folder / "scene.json").write_text(Scene(id=scene, source="noise", objects=(), frames=frames).model_dump_json())
    return root


@pytest.fixture
def job(workplace: Path) -> Callable[..., StageInput]:
    """A run of its own (by uid) with committed plan and held-out questions."""

    def build(
        uid: str, round_: int = 0, heldout: list[Question] | None = None, scenes: str = "scenes", **storage: Any
    ) -> StageInput:
        of = StageInput.model_validate(
            {
                "namespace": "default",
                "run": "loop",
                "uid": uid,
                "stage": "evaluate",
                "round": round_,
                "spec": {
                    "model": {"uri": f"file://{workplace / 'model'}", "dtype": "float32", "choices": "text"},
                    "scenes": {"uri": f"file://{workplace / scenes}", "frames_per_scene": FRAMES},
                    "generation": {"kinds": ["object_counting", "object_rel_distance", "room_size_estimation"]},
                    "evaluation": {"heldout": {"scenes": 4, "questions_per_kind": 12}},
                    "scheduling": {"accelerator": "none"},
                    "storage": {"uri": f"file://{workplace / 'store'}", **storage},
                },
            }
        )
        plan = ScenePlan(root_uri=of.spec.scenes.uri or "", train=("t",), heldout=HELDOUT)
        files = {
            SCENE_PLAN_KEY: plan.model_dump_json().encode(),
            HELDOUT_KEY: to_parquet(questions() if heldout is None else heldout, Question),
        }
        commit(run_store(of), of.model_copy(update={"stage": "prepare", "round": 0}), files, stage_summary("prepare"))
        return of

    return build


def results_of(of: StageInput) -> tuple[list[Answered], Figures]:
    store = run_store(of)
    manifest = committed(store, of.uid, manifest_key(of.round, "evaluate"))
    assert manifest is not None
    prefix = stage_prefix(of.round, "evaluate")
    return (
        from_parquet(read_file(store, manifest, f"{prefix}/answers.parquet"), Answered),
        Figures.model_validate_json(read_file(store, manifest, f"{prefix}/figures.json")),
    )


def test_round_0_scores_the_base_model(job: Any, workplace: Path) -> None:
    of = job("u-base")
    summary = program.main(of)
    rows, metrics = results_of(of)
    assert metrics.checkpoint == f"file://{workplace / 'model'}"
    assert [row.question for row in rows] == [question.id for question in questions()]
    assert summary.questions == {"object_counting": 12, "object_rel_distance": 4, "room_size_estimation": 4}
    assert summary.missing == {"object_rel_distance": 8, "room_size_estimation": 8}
    # The macro figures again, from the rows and nothing else.
    for figure, value in {
        "score": lambda row: row.score,
        "elsewhere": lambda row: row.score_elsewhere,
        "blind": lambda row: row.score_blind,
        "seeing": lambda row: row.score - row.score_elsewhere,
    }.items():
        means = []
        for kind in ("object_counting", "object_rel_distance", "room_size_estimation"):
            values = [value(row) for row in rows if row.kind == kind]
            means.append(sum(values) / len(values))
        found = metrics.figures[figure]
        assert found.mean == pytest.approx(sum(means) / 3)
        assert found.low <= found.mean <= found.high
        assert summary.figures[figure].mean == round(found.mean, 4)


def test_answers_are_the_solver_s_own_one_by_one_before_the_right_frames(job: Any, workplace: Path) -> None:
    from evolution_jobs.model.solver import Solver

    of = job("u-answers")
    program.main(of)
    rows, _ = results_of(of)
    solver = Solver.load(workplace / "model", "float32", "cpu")
    library = SceneLibrary(of.spec.scenes.uri)
    for row, question in list(zip(rows, questions(), strict=True))[::3]:
        lender = HELDOUT[(HELDOUT.index(question.scene) + 2) % 4]
        for scene, said, scored in ((question.scene, row.said, row.score), (lender, row.said_elsewhere, row.score_elsewhere)):
            (reply,) = solver.answer(frames_shown(library, of.spec.scenes, scene), [prompt_text(question, "text")])
            assert said == spoken(question, reply, "text")
            assert scored == score(question.answer_type, question.answer, said, question.options)
    assert any(row.said != row.said_elsewhere for row in rows), "frames must matter"


def test_a_second_run_does_nothing_and_the_bytes_are_the_same_when_it_must(job: Any) -> None:
    of = job("u-again")
    first = program.main(of)
    store = run_store(of)
    written = {key: store.read(key) for key in store.list("rounds/0000/evaluate")}
    assert program.main(of) == first
    store.delete("rounds/0000/evaluate")
    assert program.main(of) == first
    assert {key: store.read(key) for key in store.list("rounds/0000/evaluate")} == written


def test_later_rounds_score_their_own_checkpoint_and_drop_what_is_not_kept(job: Any, workplace: Path, tmp_path: Path) -> None:
    program.main(job("u-rounds"))
    _, base = results_of(job("u-rounds"))
    for round_ in (1, 2):
        of = job("u-rounds", round_, keep_checkpoints=1)
        folder = tmp_path / str(round_)
        build_model(folder, seed=10 + round_)
        files: dict[str, bytes | Path] = {f"{checkpoint_prefix(round_)}/{p.name}": p for p in folder.iterdir()}
        files[f"{stage_prefix(round_, 'train')}/state/optimizer"] = b"x"
        commit(run_store(of), of.model_copy(update={"stage": "train"}), files, stage_summary("train"))
        program.main(of)
        _, metrics = results_of(of)
        assert metrics.checkpoint == checkpoint_prefix(round_)
        gain, seeing = metrics.figures["gain"], metrics.figures["seeing"]
        assert gain.mean == pytest.approx(seeing.mean - base.figures["seeing"].mean)
    store = run_store(of)
    assert store.exists(f"{checkpoint_prefix(2)}/model.safetensors")
    assert store.exists(f"{stage_prefix(2, 'train')}/state/optimizer")
    assert not store.exists(f"{stage_prefix(1, 'train')}/state/optimizer")


def test_a_later_round_whose_base_was_never_scored_is_refused_by_name(job: Any) -> None:
    with pytest.raises(BadInputError, match=r"rounds/0000/evaluate/manifest\.json is missing"):
        program.main(job("u-no-base", 1))


def test_without_a_held_out_question_there_is_nothing_to_score(job: Any) -> None:
    with pytest.raises(BadInputError, match="the held-out scenes gave no question"):
        program.main(job("u-none", heldout=[]))


def test_a_held_out_scene_that_has_gone_fails_the_stage(job: Any) -> None:
    of = job("u-gone", scenes="scenes-that-were-moved")
    with pytest.raises(SceneError, match=r"held-0/scene\.json does not exist"):
        program.main(of)
    assert committed(run_store(of), of.uid, manifest_key(0, "evaluate")) is None
