"""Which checkpoints a run keeps (`storage.keepCheckpoints`), and the removal of the others.

Called at the end of `evaluate`: only then is it known which checkpoint is the best, and no stage that reads one is
under way. Kept are the newest n, the best by `evaluation.metric`, and the newest round's optimiser state; the next round
needs no other, and `keepCheckpoints` is at least 1. Rounds between two evaluations are judged at the next one. Training
metrics and manifests always stay.
"""

import logging

from evolution_api.figures import Figures
from evolution_api.jobs import StageInput
from evolution_api.layout import checkpoint_prefix, manifest_key, stage_prefix
from evolution_storage.manifests import committed, read_file
from evolution_storage.store import Store

log = logging.getLogger("evolution")

TIE = 1e-4
"""Scores this near count as equal: the run's status rounds to four decimals and names the earliest of equal bests."""


def keep_and_drop(scores: dict[int, float | None], keep: int) -> tuple[set[int], set[int]]:
    """Trained rounds with their figure (None: not evaluated) -> rounds whose checkpoint, and whose state, is dropped.

    Of equal best scores all are kept.
    """
    newest = sorted(scores)[-keep:]
    evaluated = [score for score in scores.values() if score is not None]
    best = {round_ for round_, score in scores.items() if score is not None and score >= max(evaluated) - TIE}
    return set(scores) - set(newest) - best, set(scores) - set(newest[-1:])


def prune(store: Store, job: StageInput) -> None:
    """Drop what `keepCheckpoints` does not keep, of all rounds up to the job's. Repeating it changes nothing."""
    keep = job.spec.storage.keep_checkpoints
    if keep is None:
        return
    scores: dict[int, float | None] = {}
    for round_ in range(1, job.round + 1):
        if committed(store, job.uid, manifest_key(round_, "train")) is not None:
            scores[round_] = _metric(store, job, round_)
    checkpoints, states = keep_and_drop(scores, keep)
    for round_ in sorted(checkpoints | states):
        prefixes = [checkpoint_prefix(round_)] if round_ in checkpoints else []
        prefixes += [f"{stage_prefix(round_, 'train')}/state"] if round_ in states else []
        drop(store, job, round_, prefixes)


def _metric(store: Store, job: StageInput, round_: int) -> float | None:
    """`evaluation.metric` of the round's checkpoint; None where it was not evaluated, or not of that figure."""
    evaluated = committed(store, job.uid, manifest_key(round_, "evaluate"))
    if evaluated is None:
        return None
    figures = Figures.model_validate_json(read_file(store, evaluated, f"{stage_prefix(round_, 'evaluate')}/figures.json")).figures
    figure = figures.get(job.spec.evaluation.metric)
    return None if figure is None else figure.mean


def drop(store: Store, job: StageInput, round_: int, prefixes: list[str]) -> None:
    """The manifest lets go of the files before they go, so that no manifest ever names what is not there."""
    key = manifest_key(round_, "train")
    manifest = committed(store, job.uid, key)
    assert manifest is not None
    kept = tuple(f for f in manifest.files if not any(f.path.startswith(f"{prefix}/") for prefix in prefixes))
    if kept != manifest.files:
        log.info("round %d: storage.keepCheckpoints lets go of %s", round_, ", ".join(prefixes))
        store.write(key, manifest.model_copy(update={"files": kept}).model_dump_json(indent=1).encode())
    for prefix in prefixes:
        store.delete(prefix)
