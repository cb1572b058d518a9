"""Stage program `generate`: asks the scenes of one shard and keeps the questions that pass every filter.

Reads   the scene plan of round 0; of the same shard, the questions of every earlier round (an accepted question is never
        asked of its scene again) and last round's labels (feedback). A scene always belongs to the same shard.
Writes  rounds/000t/generate/part-NNNNN.parquet           accepted questions
        rounds/000t/generate/part-NNNNN.rejected.parquet  what was dropped, with its reason
        rounds/000t/generate/part-NNNNN.prompts.jsonl     prompts by sha256, where a model proposed
        rounds/000t/generate/part-NNNNN.json              the manifest, last

    EVOLUTION_INPUT='{"stage": "generate", "round": 1, ...}' JOB_COMPLETION_INDEX=0 python -m evolution_jobs.generate
"""

import asyncio
import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from evolution_api.jobs import StageInput
from evolution_api.kinds import KINDS, REASONS, Label
from evolution_api.layout import ENV_PROPOSER_KEY, ENV_PROPOSER_URL, manifest_key, part
from evolution_api.question import Proposal, Question, Rejection
from evolution_api.results import ProbeResult
from evolution_api.run.generation import Endpoint, Serving
from evolution_api.scene import Scene
from evolution_api.summaries import GenerateSummary
from evolution_jobs.program import BadInputError, log, once, progress, run
from evolution_jobs.proposers.feedback import Cell, Tally, tally
from evolution_jobs.proposers.grammar import GrammarProposer
from evolution_jobs.proposers.model import ModelProposer
from evolution_jobs.proposers.proposer import Proposer, Recalled, SceneFailedError, SceneTask
from evolution_jobs.proposers.speaker import Speaker
from evolution_jobs.questions.check import check
from evolution_jobs.questions.sandbox import Outcome, Sandbox
from evolution_jobs.scene_plan import read_plan
from evolution_jobs.scenes.library import SceneError, SceneLibrary, reduce
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet, to_parquet

READY_WITHIN_S = 600.0
"""Longest wait for the proposer's own model server."""


@dataclass
class Past:
    """What earlier rounds left of this shard."""

    questions: set[str] = field(default_factory=set)
    """Ids of all accepted questions of all earlier rounds."""
    last: dict[str, list[Recalled]] = field(default_factory=dict)
    """Scene id -> last round's questions of it."""

    @property
    def labels(self) -> dict[Cell, Tally]:
        return tally(
            ((r.question.kind, r.question.level), r.label) for rs in self.last.values() for r in rs if r.label is not None
        )


class ProposerFailedError(RuntimeError):
    """No scene could be asked, through no fault of the scenes; a later attempt may do better."""


class CountingSandbox(Sandbox):
    """Counts the programs that returned an answer."""

    executed = 0

    def run(self, program: str, scene: Scene) -> Outcome:
        outcome = super().run(program, scene)
        self.executed += outcome.reason is None
        return outcome


def proposer_of(job: StageInput) -> Proposer:
    """The proposer that the run names; what a model needs is loaded only here."""
    chosen, kinds = job.spec.generation.proposer, job.spec.generation.kinds
    if chosen.grammar is not None:
        return GrammarProposer(kinds, feedback=chosen.grammar.feedback)
    if chosen.inline is not None:
        from evolution_jobs.proposers.inline import load_inline

        return ModelProposer(load_inline(job, chosen.inline.uri), chosen.inline, kinds)
    if chosen.serving is not None:
        return ModelProposer(served(chosen.serving), chosen.serving, kinds)
    assert chosen.endpoint is not None
    return ModelProposer(endpoint(chosen.endpoint), chosen.endpoint, kinds)


def endpoint(settings: Endpoint) -> Speaker:
    from evolution_jobs.proposers.endpoint import EndpointModel

    return EndpointModel(settings.url, settings.model, settings, api_key=os.environ.get(ENV_PROPOSER_KEY))


def served(settings: Serving) -> Speaker:
    from evolution_jobs.proposers.endpoint import EndpointModel, served_model

    url = os.environ.get(ENV_PROPOSER_URL)
    if not url:
        raise BadInputError(f"{ENV_PROPOSER_URL} is not set: generation.proposer.serving needs the URL of its model server")
    return EndpointModel(url, served_model(url, within_s=READY_WITHIN_S), settings, api_key=None)


def generate(job: StageInput, store: Store, shard: int | None) -> GenerateSummary:
    """Ask every scene of `shard` and commit what came of it; raises as `Asking.run`."""
    assert shard is not None
    proposer, plan = proposer_of(job), read_plan(store, job)
    mine = plan.train[shard :: job.spec.generation.shards]
    asking = Asking(job, SceneLibrary(plan.root_uri, job.spec.storage.endpoint), read_past(store, job, shard), proposer)
    tasks = asyncio.run(asking.run(mine))
    accepted = [question for task in tasks for question in task.accepted]
    rejected = [rejection for task in tasks for rejection in task.rejected]
    stem = part(job.round, "generate", shard)
    files = {f"{stem}.parquet": to_parquet(accepted, Question), f"{stem}.rejected.parquet": to_parquet(rejected, Rejection)}
    if prompts := proposer.prompts():
        lines = (json.dumps({"sha256": sha256, "prompt": text}) for sha256, text in sorted(prompts.items()))
        files[f"{stem}.prompts.jsonl"] = "".join(f"{line}\n" for line in lines).encode()
    reasons, kinds = Counter(r.reason for r in rejected), Counter(q.kind for q in accepted)
    summary = GenerateSummary(
        scenes=len(tasks),
        skipped_scenes=len(mine) - len(tasks),
        proposed=sum(task.proposed for task in tasks),
        executed=asking.sandbox.executed,
        accepted=len(accepted),
        rejected={reason: reasons[reason] for reason in REASONS if reasons[reason]},
        kinds={kind: kinds[kind] for kind in KINDS if kinds[kind]},
        proposer=proposer.usage(),
    )
    commit(store, job, files, summary, shard=shard)
    return summary


class Asking:
    """Takes the scenes of a shard through the proposer, as many at once as it can work on."""

    def __init__(self, job: StageInput, library: SceneLibrary, past: Past, proposer: Proposer) -> None:
        self.job, self.library, self.past, self.proposer = job, library, past, proposer
        self.sandbox = CountingSandbox(job.spec.generation.sandbox)
        self.shard_labels = past.labels

    async def run(self, ids: Sequence[str]) -> list[SceneTask]:
        """The tasks of the scenes that could be asked, in the order of `ids`.

        Raises BadInputError where there are scenes and none can be read, ProposerFailedError where it failed on all that can.
        """
        left = iter(ids)
        tasks: dict[str, SceneTask] = {}
        failed: list[str] = []
        tried = 0

        async def worker() -> None:
            nonlocal tried
            for scene_id in left:
                try:
                    task = self._open(scene_id)
                    await self.proposer.ask(task)
                    task.images = ()  # the results of a shard stay, its frames would fill the memory
                    tasks[scene_id] = task
                except SceneError as error:
                    log.warning("scene %s is skipped: %s", scene_id, error)
                except SceneFailedError as error:
                    failed.append(scene_id)
                    log.warning("scene %s is skipped: the proposer failed on it: %s", scene_id, error)
                tried += 1
                progress(tried, len(ids), "scenes", accepted=sum(len(task.accepted) for task in tasks.values()))

        await asyncio.gather(*(worker() for _ in range(min(self.proposer.scenes_at_once, len(ids)))))
        if failed and not tasks:
            raise ProposerFailedError(f"the proposer failed on all {len(failed)} readable scenes; the log says why of each")
        if ids and not tasks:
            raise BadInputError(
                f"none of the shard's {len(ids)} scenes can be used; the log says why of each. "
                f"Mend the scenes at {self.library.root_uri}, or lower generation.shards so that a shard has more of them"
            )
        return [tasks[scene_id] for scene_id in ids if scene_id in tasks]

    def _open(self, scene_id: str) -> SceneTask:
        """Raises SceneError where the scene, or one of the frames that the solver will see, cannot be read."""
        spec = self.job.spec
        scene = reduce(self.library.scene(scene_id), spec.scenes.frames_per_scene, spec.scenes.frame_sampling)

        def judge(proposal: Proposal) -> Question | Rejection:
            result = check(
                proposal,
                scene,
                sandbox=self.sandbox,
                filters=spec.generation.filters,
                round_=self.job.round,
                proposer=self.proposer.name,
                accepted_ids=self.past.questions,
            )
            if isinstance(result, Question):
                self.past.questions.add(result.id)
            return result

        return SceneTask(
            scene=scene,
            images=[self.library.image(scene_id, frame) for frame in scene.frames],
            wanted=spec.generation.questions_per_scene,
            last=self.past.last.get(scene_id, []),
            shard=self.shard_labels,
            rng=random.Random(scene_seed(spec.seed, self.job.round, scene_id)),  # noqa: S311 - repeatable, not secret
            round=self.job.round,
            proposer=self.proposer.name,
            judge=judge,
            known=self.past.questions,
        )


def scene_seed(seed: int, round_: int, scene_id: str) -> int:
    """Independent of shards, order and attempts, so that a scene is asked the same wherever it is asked."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{round_}/{scene_id}".encode()).digest()[:8])


def read_past(store: Store, job: StageInput, shard: int) -> Past:
    """Rounds 1 to t - 1 of this shard; one that failed for good left nothing and teaches nothing."""
    past = Past()
    for round_ in range(1, job.round):
        manifest = committed(store, job.uid, manifest_key(round_, "generate", shard))
        if manifest is None:
            continue
        questions = from_parquet(read_file(store, manifest, f"{part(round_, 'generate', shard)}.parquet"), Question)
        past.questions.update(q.id for q in questions)
        if round_ == job.round - 1:
            labels = read_labels(store, job, shard)
            for question in questions:
                past.last.setdefault(question.scene, []).append(Recalled(question, labels.get(question.id)))
    return past


def read_labels(store: Store, job: StageInput, shard: int) -> dict[str, Label]:
    """Question id -> label, of last round's same shard."""
    manifest = committed(store, job.uid, manifest_key(job.round - 1, "probe", shard))
    if manifest is None:
        return {}
    results = from_parquet(read_file(store, manifest, f"{part(job.round - 1, 'probe', shard)}.parquet"), ProbeResult)
    return {result.question: result.label for result in results}


main = once(generate)

if __name__ == "__main__":
    run(main)
