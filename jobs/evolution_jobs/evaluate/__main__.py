"""Stage program `evaluate`: scores the round's checkpoint (the base model in round 0) on the fixed held-out questions.

Reads   the scene plan and the held-out questions of round 0, the held-out scenes' frames, the round's checkpoint.
Writes  rounds/000t/evaluate/answers.parquet  Answered rows, in the order of the questions
        rounds/000t/evaluate/figures.json     Figures: score, seeing, elsewhere, blind and, from round 1, gain (seeing above the
                                              base model's), over all kinds and of each (seeing.object_counting)
        rounds/000t/evaluate/manifest.json    the manifest, last

    EVOLUTION_INPUT='{"stage": "evaluate", "round": 1, ...}' python -m evolution_jobs.evaluate

Exact match for choices, counts and yes/no, mean relative accuracy for numbers. Every question is also answered before
another held-out scene's frames and by the blind prior: what rises without the seeing score is format or prior. The summary
has the figures over all kinds, and the one that `evaluation.metric` names. At its end checkpoints past
`storage.keepCheckpoints` are dropped.
"""

from evolution_api.figures import rounded
from evolution_api.jobs import StageInput
from evolution_api.layout import manifest_key, stage_prefix
from evolution_api.results import Answered
from evolution_api.summaries import DECIMALS, ScoreSummary
from evolution_jobs.evaluate.metrics import asked, measure, missing
from evolution_jobs.program import BadInputError, once, run
from evolution_jobs.scene_plan import read_heldout, read_plan
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.retention import prune
from evolution_storage.store import Store
from evolution_storage.tables import from_parquet, to_parquet


def evaluate(job: StageInput, store: Store, _: int | None) -> ScoreSummary:
    plan, questions = read_plan(store, job), read_heldout(store, job)
    if not questions:
        raise BadInputError("the held-out scenes gave no question: nothing can be evaluated; add scenes or kinds of questions")
    metric, kinds = job.spec.evaluation.metric, sorted({question.kind for question in questions})
    if "." in metric and metric.partition(".")[2] not in kinds:
        raise BadInputError(
            f"evaluation.metric {metric} cannot be measured: the held-out scenes gave no question of that kind, only of "
            f"{', '.join(kinds)}; name one of those, or none (score, seeing)"
        )
    base = _base_answers(store, job) if job.round else []

    from evolution_jobs.evaluate.answering import answer_all
    from evolution_jobs.scenes.library import SceneLibrary
    from evolution_jobs.solver_loading import load_solver

    solver = load_solver(job)
    rows = answer_all(solver, SceneLibrary(plan.root_uri, job.spec.storage.endpoint), job.spec, questions, plan.heldout)
    found = measure(rows, checkpoint=job.solver_key or job.spec.model.uri, seed=job.spec.seed, base=base)
    summary = ScoreSummary(
        questions=asked(rows),
        missing=missing(rows, job.spec.generation.kinds, job.spec.evaluation.heldout.questions_per_kind),
        figures=rounded({**found.of(), metric: found.figures[metric]}, DECIMALS),
    )
    prefix = stage_prefix(job.round, "evaluate")
    files = {
        f"{prefix}/answers.parquet": to_parquet(rows, Answered),
        f"{prefix}/figures.json": found.model_dump_json(indent=1).encode(),
    }
    commit(store, job, files, summary)
    return summary


def _base_answers(store: Store, job: StageInput) -> list[Answered]:
    """How the base model answered the same questions; raises BadInputError where that is not in storage."""
    made = committed(store, job.uid, manifest_key(0, "evaluate"))
    if made is None:
        raise BadInputError(
            f"{manifest_key(0, 'evaluate')} is missing, so this round has nothing to be compared with; restore it, or start "
            "the run anew"
        )
    return from_parquet(read_file(store, made, f"{stage_prefix(0, 'evaluate')}/answers.parquet"), Answered)


main = once(evaluate, afterwards=prune)

if __name__ == "__main__":
    run(main)
