"""The questions that a round trains on, read from the round's generate and probe parts; and the probe parts that training itself
writes with `difficulty.signal: training`.

Called by `loop`. It knows storage and labels, not models.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evolution_api.jobs import StageInput
from evolution_api.kinds import LABELS, Label
from evolution_api.layout import manifest_key, part
from evolution_api.question import Question
from evolution_api.results import ProbeResult
from evolution_api.summaries import ProbeSummary
from evolution_jobs.difficulty.rule import label
from evolution_jobs.difficulty.summary import summarised
from evolution_jobs.program import BadInputError, log
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet, to_parquet


@dataclass(frozen=True)
class Selection:
    """Accepted questions by shard, in the order of their tables; shards that failed for good are absent."""

    shards: Mapping[int, tuple[Question, ...]]

    @property
    def questions(self) -> list[Question]:
        return [question for shard in sorted(self.shards) for question in self.shards[shard]]


def select(store: Store, job: StageInput) -> Selection:
    """What `training.select` leaves of the round's accepted questions.

    Raises BadInputError where nothing is left, CorruptError where a part is not what its manifest says.
    """
    select = set(job.spec.training.select)
    by_label = select != set(LABELS)
    shards: dict[int, tuple[Question, ...]] = {}
    accepted = 0
    labels_seen: Counter[Label] = Counter()
    for shard in range(job.spec.generation.shards):
        made = committed(store, job.uid, manifest_key(job.round, "generate", shard))
        if made is None:
            log.warning("shard %d has no committed questions in round %d; training goes on without it", shard, job.round)
            continue
        questions = from_parquet(read_file(store, made, f"{part(job.round, 'generate', shard)}.parquet"), Question)
        accepted += len(questions)
        if by_label:
            labels = _labels(store, job, shard)
            labels_seen.update(labels.values())
            questions = [q for q in questions if labels.get(q.id) in select]
        shards[shard] = tuple(questions)
    if accepted == 0:
        raise BadInputError(
            f"round {job.round} has no accepted questions in any of generation.shards {job.spec.generation.shards}: there is "
            "nothing to train on; see why they were rejected, and widen generation.kinds or add scenes"
        )
    if not any(shards.values()):
        raise BadInputError(
            f"training.select {list(job.spec.training.select)} leaves none of the {accepted} questions of round {job.round} "
            f"(labels: {dict(labels_seen)}); select more labels, or move difficulty.easyAbove and hardBelow"
        )
    return Selection(shards)


def _labels(store: Store, job: StageInput, shard: int) -> dict[str, Label]:
    key = manifest_key(job.round, "probe", shard)
    probed = committed(store, job.uid, key)
    if probed is None:
        log.warning("%s is missing: the questions of shard %d have no label and are not selected", key, shard)
        return {}
    results = from_parquet(read_file(store, probed, f"{part(job.round, 'probe', shard)}.parquet"), ProbeResult)
    return {result.question: result.label for result in results}


def commit_confidences(store: Store, job: StageInput, selection: Selection, confidences: Mapping[str, float]) -> ProbeSummary:
    """Write the round's probe parts from the confidences of the training pass, and say what they come to.

    A question that the round's steps never reached has no confidence and stands in no part.
    """
    probing = job.model_copy(update={"stage": "probe"})
    summaries = []
    for shard, questions in selection.shards.items():
        results = _results(job, questions, confidences)
        summaries.append(summarised(results))
        files = {f"{part(job.round, 'probe', shard)}.parquet": to_parquet(results, ProbeResult)}
        commit(store, probing, files, summaries[-1], shard=shard)
    return ProbeSummary.together(summaries)


def _results(job: StageInput, questions: Sequence[Question], confidences: Mapping[str, float]) -> list[ProbeResult]:
    return [
        ProbeResult(
            question=q.id,
            scene=q.scene,
            kind=q.kind,
            level=q.level,
            confidence=confidences[q.id],
            label=label(job.spec.difficulty, q, confidences[q.id], None),
        )
        for q in questions
        if q.id in confidences
    ]
