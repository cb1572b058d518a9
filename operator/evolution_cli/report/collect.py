"""Reads what a run committed into plain values for the report; a part that is not there yet is left out, never guessed."""

import json
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from evolution_api.figures import Figures
from evolution_api.jobs import StageInput
from evolution_api.kinds import Kind, Label, Reason
from evolution_api.layout import SCENE_PLAN_KEY, manifest_key, part, stage_prefix
from evolution_api.question import Question
from evolution_api.results import ProbeResult, TrainStep
from evolution_api.run.resource import EvolutionRun
from evolution_api.scene import ScenePlan
from evolution_api.summaries import GenerateSummary
from evolution_storage.manifests import committed, read_file, summary_of
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet

SHARDS_AT_ONCE = 8
"""Shards that are read side by side: each is four small files, which take a round trip each where the storage is far away."""


@dataclass(frozen=True)
class Asked:
    """One accepted question and what became of it."""

    question: Question
    probe: ProbeResult | None
    steps: tuple[int, ...]
    """Global training steps whose batch held it."""


@dataclass
class RoundData:
    round: int
    proposed: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    asked: list[Asked] = field(default_factory=list)
    steps: list[TrainStep] = field(default_factory=list)
    figures: Figures | None = None

    def labels(self, kind: Kind | None = None) -> Counter[Label]:
        return Counter(a.probe.label for a in self.asked if a.probe and kind in (None, a.question.kind))


@dataclass(frozen=True)
class RunData:
    run: EvolutionRun
    plan: ScenePlan | None
    rounds: tuple[RoundData, ...]


def run_input(run: EvolutionRun) -> StageInput:
    """The run as a program would be handed it; enough to find its store."""
    return StageInput(
        namespace=run.metadata.namespace, run=run.metadata.name, uid=run.metadata.uid, stage="prepare", round=0, spec=run.spec
    )


def collect(run: EvolutionRun, store: Store) -> RunData:
    """Raises CorruptError where what a manifest names is gone or changed."""
    uid = run.metadata.uid
    prepared = committed(store, uid, manifest_key(0, "prepare"))
    plan = ScenePlan.model_validate_json(read_file(store, prepared, SCENE_PLAN_KEY)) if prepared else None
    rounds = tuple(_round(run, store, number) for number in range(run.status.round + 1))
    return RunData(run, plan, rounds)


def _round(run: EvolutionRun, store: Store, number: int) -> RoundData:
    data = RoundData(number)
    uid = run.metadata.uid
    trained = committed(store, uid, manifest_key(number, "train")) if number else None
    steps_of: dict[str, list[int]] = defaultdict(list)
    if trained:
        lines = read_file(store, trained, f"{stage_prefix(number, 'train')}/metrics.jsonl").decode().splitlines()
        data.steps = [TrainStep.model_validate(json.loads(line)) for line in lines]
        for step in data.steps:
            for question in step.questions:
                steps_of[question].append(step.step)
    if number:
        with ThreadPoolExecutor(SHARDS_AT_ONCE) as readers:
            for shard in readers.map(lambda shard: _shard(store, uid, number, shard), range(run.spec.generation.shards)):
                data.proposed += shard.proposed
                data.rejected += shard.rejected
                data.asked += [Asked(q, shard.results.get(q.id), tuple(steps_of.get(q.id, ()))) for q in shard.questions]
    evaluated = committed(store, uid, manifest_key(number, "evaluate"))
    if evaluated:
        key = f"{stage_prefix(number, 'evaluate')}/figures.json"
        data.figures = Figures.model_validate_json(read_file(store, evaluated, key))
    return data


@dataclass(frozen=True)
class _Shard:
    proposed: int = 0
    rejected: Counter[Reason] = field(default_factory=Counter)
    questions: tuple[Question, ...] = ()
    results: dict[str, ProbeResult] = field(default_factory=dict)
    """By question."""


def _shard(store: Store, uid: str, number: int, shard: int) -> _Shard:
    generated = committed(store, uid, manifest_key(number, "generate", shard))
    if generated is None:
        return _Shard()
    made = summary_of(generated, GenerateSummary)
    questions = from_parquet(read_file(store, generated, f"{part(number, 'generate', shard)}.parquet"), Question)
    probed = committed(store, uid, manifest_key(number, "probe", shard))
    results: dict[str, ProbeResult] = {}
    if probed:
        rows = from_parquet(read_file(store, probed, f"{part(number, 'probe', shard)}.parquet"), ProbeResult)
        results = {row.question: row for row in rows}
    return _Shard(made.proposed, Counter(made.rejected), tuple(questions), results)
