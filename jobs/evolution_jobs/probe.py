"""Stage program `probe`: asks the solver's server how sure it is of every true answer of one shard, and labels the questions.

Reads   rounds/000t/generate/part-NNNNN, the same shard's accepted questions, and the scene plan of round 0.
Writes  rounds/000t/probe/part-NNNNN.parquet  ProbeResult rows, in the order of the questions
        rounds/000t/probe/part-NNNNN.json     the manifest, last

    EVOLUTION_INPUT='{"stage": "probe", "round": 1, ...}' EVOLUTION_SOLVER_URL=http://127.0.0.1:8080 \
        JOB_COMPLETION_INDEX=0 python -m evolution_jobs.probe

With `difficulty.rule: seeing` every question is asked a second time, before another scene's frames.
"""

import asyncio
import os
import signal
from collections.abc import Sequence

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_SOLVER_URL, manifest_key, part
from evolution_api.question import Question
from evolution_api.results import ProbeResult
from evolution_api.summaries import ProbeSummary
from evolution_jobs.difficulty.rule import label
from evolution_jobs.difficulty.summary import summarised
from evolution_jobs.model.prompts import answer_text, prompt_text
from evolution_jobs.program import BadInputError, TerminatedError, log, once, progress, run
from evolution_jobs.scene_batches import Asked, SceneBatch, batches_by_scene, everything
from evolution_jobs.scene_plan import read_plan
from evolution_jobs.solver_api import SolverClient, UnusableSceneError
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet, to_parquet

REQUESTS_AT_ONCE = 4
"""Enough to let the server read the next scenes' frames while its model works on one; more would only wait."""


def probe_shard(job: StageInput, store: Store, shard: int | None) -> ProbeSummary:
    assert shard is not None
    questions = read_questions(store, job, shard)
    results = probe(job, store, questions) if questions else []
    summary = summarised(results, unreadable=len(questions or ()) - len(results), missing_shard=questions is None)
    commit(store, job, {f"{part(job.round, 'probe', shard)}.parquet": to_parquet(results, ProbeResult)}, summary, shard=shard)
    return summary


def read_questions(store: Store, job: StageInput, shard: int) -> list[Question] | None:
    """None where the shard failed for good when it was generated, and the run allows that."""
    key = manifest_key(job.round, "generate", shard)
    manifest = committed(store, job.uid, key)
    if manifest is not None:
        return from_parquet(read_file(store, manifest, f"{part(job.round, 'generate', shard)}.parquet"), Question)
    if job.spec.generation.max_failed_shards == 0:
        raise FileNotFoundError(f"{key} is missing and generation.maxFailedShards is 0: the round was never generated whole")
    log.warning(
        "shard %d of round %d was never generated (generation.maxFailedShards allows it): nothing to probe", shard, job.round
    )
    return None


def probe(job: StageInput, store: Store, questions: Sequence[Question]) -> list[ProbeResult]:
    """The labelled results, in the order of `questions`; those whose scene cannot be read are left out.

    Raises BadInputError where that leaves none.
    """
    url = os.environ.get(ENV_SOLVER_URL)
    if not url:
        raise BadInputError(f"{ENV_SOLVER_URL} is not set: the probe needs the base URL of the solver's server")
    scene_ids = read_plan(store, job).train
    handler = signal.getsignal(signal.SIGTERM)
    try:
        confidences = asyncio.run(ask_all(job, questions, scene_ids, url))
    except asyncio.CancelledError:  # only SIGTERM cancels
        raise TerminatedError from None
    finally:
        signal.signal(signal.SIGTERM, handler)  # the event loop leaves the default in its place
    difficulty = job.spec.difficulty
    results = []
    for i, question in enumerate(questions):
        p, p_elsewhere = confidences.get(Asked(i, True)), confidences.get(Asked(i, False))
        if p is None or (p_elsewhere is None and difficulty.rule == "seeing"):
            continue
        results.append(
            ProbeResult(
                question=question.id,
                scene=question.scene,
                kind=question.kind,
                level=question.level,
                confidence=p,
                confidence_elsewhere=p_elsewhere,
                label=label(difficulty, question, p, p_elsewhere),
            )
        )
    if not results:
        raise BadInputError(
            f"the solver's server can read the frames of none of the scenes that the shard's {len(questions)} questions need; "
            "the log says why of each; see that the server's pods reach the scenes as those of generate do"
        )
    return results


async def ask_all(job: StageInput, questions: Sequence[Question], scene_ids: Sequence[str], url: str) -> dict[Asked, float]:
    """Ask everything that can be asked. Where a scene that lends its frames cannot be read, the next one lends."""
    task = asyncio.current_task()
    assert task is not None
    # A handler that raises could be swallowed by the loop; cancelling the task cannot.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    confidences: dict[Asked, float] = {}
    left = everything(questions, elsewhere_too=job.spec.difficulty.rule == "seeing")
    total, readable = len(left), list(scene_ids)
    at_once = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async with SolverClient(url, job.spec.probe.timeout_seconds) as client:

        async def show(batch: SceneBatch) -> str | None:
            """None, or the scene that could not be shown."""
            async with at_once:
                try:
                    answers = await client.confidences(batch.scene, [pair(job, questions[a.question]) for a in batch.asked])
                except UnusableSceneError as error:
                    log.warning("the frames of scene %s cannot be shown: %s", batch.scene, error)
                    return batch.scene
            for asked, p in zip(batch.asked, answers, strict=True):
                if p is None:
                    raise BadInputError(
                        f"the solver's confidence in question {questions[asked.question].id} is not a number: its weights "
                        "have diverged; lower training.learningRate"
                    )
                confidences[asked] = p
            progress(len(confidences), total, "questions")
            return None

        while left:
            unusable = set(await asyncio.gather(*(show(s) for s in batches_by_scene(left, questions, readable))))
            readable = [scene for scene in readable if scene not in unusable]
            if len(readable) < 2:  # a scene cannot lend its frames to itself
                break
            left = [a for a in left if a not in confidences and not a.own and questions[a.question].scene in readable]
    return confidences


def pair(job: StageInput, question: Question) -> tuple[str, str]:
    return prompt_text(question, job.spec.model.choices), answer_text(question, job.spec.model.choices)


main = once(probe_shard)

if __name__ == "__main__":
    run(main)
