"""A small run of two rounds that has ended, and its objects as programs write them; for whatever reads a run from its storage."""

import io
import random

from PIL import Image
from tests.summaries import figure, stage_summary

from evolution_api.figures import Figure, Figures
from evolution_api.jobs import StageInput
from evolution_api.kinds import Kind, Label, StageName
from evolution_api.layout import RUN_KEY, SCENE_PLAN_KEY, SCENES_PREFIX, part, stage_prefix
from evolution_api.question import Question
from evolution_api.results import ProbeResult, TrainStep
from evolution_api.run.resource import EvolutionRun
from evolution_api.scene import Frame, Scene, ScenePlan
from evolution_api.summaries import GenerateSummary
from evolution_cli.report.collect import run_input
from evolution_storage.manifests import commit
from evolution_storage.store import Store
from evolution_storage.tables import to_parquet
from evolution_storage.uri import run_store

SCENES = ("room-a", "room-b")
KINDS: tuple[Kind, ...] = ("object_counting", "object_rel_distance")
PER_SCENE = 6


def finished_run(storage: dict[str, str], *, name: str = "demo", namespace: str = "default", uid: str = "u-1") -> EvolutionRun:
    spec = {
        "rounds": 2,
        "model": {"uri": "file:///tiny"},
        "scenes": {"procedural": {}},
        "storage": storage,
        "generation": {"shards": 1, "parallelism": 1},
    }
    rounds = [
        {"round": r, "seconds": {"generate": 2.0, "probe": 3.0, "train": 9.0, "evaluate": 4.0} if r else {"prepare": 5.0}}
        for r in range(3)
    ]
    status = {"phase": "Succeeded", "round": 2, "progress": "2/2", "rounds": rounds, "accepted": 24, "score": 0.6}
    metadata = {"name": name, "namespace": namespace, "uid": uid}
    return EvolutionRun.model_validate({"metadata": metadata, "spec": spec, "status": status})


def scores(seeing: float) -> dict[str, Figure]:
    means = {"score": 0.4 + seeing, "elsewhere": 0.4, "blind": 0.38, "seeing": seeing, **({"gain": seeing} if seeing else {})}
    parts = ("", *(f".{kind}" for kind in KINDS))
    return {f"{name}{part}": figure(mean) for part in parts for name, mean in means.items()}


def question(round_: int, number: int) -> Question:
    kind = KINDS[number % 2]
    choice = kind == "object_rel_distance"
    return Question(
        id=f"{round_:08d}{number:08d}",
        scene=SCENES[number // PER_SCENE],
        kind=kind,
        text="Which of these objects is closest to the bed?" if choice else "How many chair(s) are in this room? <b>&</b>",
        answer_type="choice" if choice else "count",
        options=("lamp", "sofa") if choice else (),
        program="closest = 'lamp'\nclosest" if choice else "count('chair')",
        labels=("bed",) if choice else ("chair",),
        level=1,
        answer="lamp" if choice else "3",
        round=round_,
        proposer="grammar",
    )


def write_round(job: StageInput, store: Store, round_: int) -> None:
    def as_stage(stage: StageName) -> StageInput:
        return job.model_copy(update={"stage": stage, "round": round_})

    questions = [question(round_, n) for n in range(len(SCENES) * PER_SCENE)]
    rng = random.Random(round_)
    stem = part(round_, "generate", 0)
    asked = GenerateSummary(scenes=2, proposed=20, executed=17, accepted=12, rejected={"too_close": 5, "blind": 3})
    commit(store, as_stage("generate"), {f"{stem}.parquet": to_parquet(questions, Question)}, asked, shard=0)
    labels: list[Label] = [rng.choice(("easy", "frontier", "hard")) for _ in questions]
    results = [
        ProbeResult(question=q.id, scene=q.scene, kind=q.kind, level=1, confidence=rng.random(), label=label)
        for q, label in zip(questions, labels, strict=True)
    ]
    stem = part(round_, "probe", 0)
    commit(store, as_stage("probe"), {f"{stem}.parquet": to_parquet(results, ProbeResult)}, stage_summary("probe"), shard=0)
    steps = [
        TrainStep(
            step=4 * (round_ - 1) + s + 1,
            round=round_,
            loss=2.0 / (round_ + s),
            learning_rate=1e-4,
            gradient_norm=1.0,
            questions=tuple(q.id for q in questions[3 * s : 3 * s + 3]),
        )
        for s in range(4)
    ]
    lines = "".join(s.model_dump_json() + "\n" for s in steps).encode()
    commit(store, as_stage("train"), {f"{stage_prefix(round_, 'train')}/metrics.jsonl": lines}, stage_summary("train", round_))


def write_objects(run: EvolutionRun) -> Store:
    job = run_input(run)
    store = run_store(job)
    store.write(RUN_KEY, job.model_dump_json(by_alias=True, exclude_none=True).encode())
    for i, scene_id in enumerate(SCENES):
        Image.new("RGB", (64, 64), (200, 60 * i, 40)).save(sink := io.BytesIO(), "PNG")
        frames = tuple(Frame(file=f"frames/{n}.png", time_s=n, width=64, height=64) for n in range(3))
        for frame in frames:
            store.write(f"{SCENES_PREFIX}/{scene_id}/{frame.file}", sink.getvalue())
        scene = Scene(id=scene_id, source="procedural", objects=(), frames=frames)
        store.write(f"{SCENES_PREFIX}/{scene_id}/scene.json", scene.model_dump_json().encode())
    root = f"{run.spec.storage.uri}/{job.prefix}/{SCENES_PREFIX}"
    plan = ScenePlan(root_uri=root, train=SCENES, heldout=(), benchmark=("vsi-bench",))
    commit(store, job, {SCENE_PLAN_KEY: plan.model_dump_json().encode()}, stage_summary("prepare"))
    for round_ in range(3):
        if round_:
            write_round(job, store, round_)
        found = Figures(checkpoint="x", figures=scores(0.1 * round_))
        files = {f"{stage_prefix(round_, 'evaluate')}/figures.json": found.model_dump_json().encode()}
        commit(store, job.model_copy(update={"stage": "evaluate", "round": round_}), files, stage_summary("evaluate", round_))
    return store
