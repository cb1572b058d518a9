"""Where a round's training state lies in storage: of the finished round, and of one that was interrupted.

Called by `launcher` and `loop`. It moves files and manifests; what is in them is `engine`'s affair.

    rounds/000t/train/state/...                  state at the end of round t, from which round t + 1 goes on
    rounds/000t/train/partial/step-NNNNNN/...    state in the middle of round t; only the newest is kept, and none once t is done

Either holds `common/` (read by every process), and `rank-NNNNN/` for each process.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evolution_api.jobs import StageInput
from evolution_api.layout import manifest_key, stage_prefix
from evolution_api.results import Manifest, StoredFile
from evolution_api.summaries import StateLayout, StateSummary, TrainSummary
from evolution_jobs.program import BadInputError, log
from evolution_storage.manifests import commit, committed, fetch_files, put, summary_of
from evolution_storage.store import Store

COMMON = "mp_rank_00_model_states.pt"
"""DeepSpeed's name for what every process reads, where it is written once (ZeRO 0 to 2)."""


def state_prefix(round_: int) -> str:
    return f"{stage_prefix(round_, 'train')}/state"


def metrics_key(round_: int) -> str:
    return f"{stage_prefix(round_, 'train')}/metrics.jsonl"


def partial_prefix(round_: int) -> str:
    return f"{stage_prefix(round_, 'train')}/partial"


def step_prefix(round_: int, step: int) -> str:
    """`step` counts within the round."""
    return f"{partial_prefix(round_)}/step-{step:06d}"


def upload(store: Store, prefix: str, rank: int, files: Sequence[Path]) -> tuple[StoredFile, ...]:
    """Store one process's files of a state; no manifest names them yet. DeepSpeed's recovery script is no state."""
    return tuple(
        put(store, f"{prefix}/common/{path.name}" if path.name == COMMON else f"{prefix}/rank-{rank:05d}/{path.name}", path)
        for path in files
        if path.suffix == ".pt"
    )


def download(store: Store, manifest: Manifest, prefix: str, rank: int, folder: Path) -> Path:
    """Fetch what one process needs of a state into `folder`; raises CorruptError where a file is not what the manifest says."""
    fetch_files(store, manifest, f"{prefix}/common", folder)
    return fetch_files(store, manifest, f"{prefix}/rank-{rank:05d}", folder)


def layout(job: StageInput) -> StateLayout:
    training = job.spec.training
    return StateLayout(processes=training.nodes * training.processes_per_node, zero_stage=training.deepspeed.zero_stage)


def interrupted(store: Store, job: StageInput) -> tuple[int, Manifest] | None:
    """The newest committed state in the middle of this round: its step within the round, and its manifest.

    One that was written by another number of processes, or at another ZeRO stage, is of no use: the round begins anew.
    """
    wanted = layout(job)
    for key in reversed([k for k in store.list(partial_prefix(job.round)) if k.endswith("/manifest.json")]):
        manifest = committed(store, job.uid, key)
        if manifest is None:
            continue
        state = summary_of(manifest, StateSummary)
        if state.layout == wanted:
            return state.step, manifest
        log.warning("%s was written with %s, this attempt runs with %s; the round begins anew", key, state.layout, wanted)
    return None


def previous(store: Store, job: StageInput) -> Manifest:
    """The manifest of round t - 1's training, whose state this round goes on from.

    Raises BadInputError where it is missing or was written by another number of processes or at another ZeRO stage.
    """
    key = manifest_key(job.round - 1, "train")
    manifest = committed(store, job.uid, key)
    if manifest is None:
        raise BadInputError(f"{key} is missing: round {job.round - 1} was never trained, and round {job.round} goes on from it")
    written, wanted = summary_of(manifest, TrainSummary).layout, layout(job)
    for had, has, field in (
        (written.processes, wanted.processes, "nodes x training.processesPerNode"),
        (written.zero_stage, wanted.zero_stage, "deepspeed.zeroStage"),
    ):
        if had != has:
            raise BadInputError(
                f"training.{field} is {has}, but round {job.round - 1}'s optimiser state was written with {had} and is split in "
                f"that way; set it back to {had}"
            )
    return manifest


def commit_partial(
    store: Store, job: StageInput, step: int, files: Mapping[str, bytes | Path], states: tuple[StoredFile, ...]
) -> None:
    """Make the state at `step` the one that a crash goes on from, and drop older ones."""
    prefix = step_prefix(job.round, step)
    summary = StateSummary(step=step, layout=layout(job))
    commit(store, job, files, summary, key=f"{prefix}/manifest.json", already=states)
    parent = partial_prefix(job.round)
    for name in {key.removeprefix(f"{parent}/").split("/")[0] for key in store.list(parent)}:
        if f"{parent}/{name}" != prefix:
            store.delete(f"{parent}/{name}")


def drop_partials(store: Store, job: StageInput) -> None:
    """Once the round is committed, nothing goes on from its middle."""
    store.delete(partial_prefix(job.round))
