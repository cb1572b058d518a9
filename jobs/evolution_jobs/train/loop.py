"""A round of training in one process: data, steps, checkpoints, and what is committed at the end.

Called by `launcher` in every process of the training job, with torchrun's variables in the environment. Everything random
follows from the seed, the step and the process, so no generator's state has to be carried over; the learning rate is constant,
so no schedule either.
"""

import itertools
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from transformers.utils.logging import disable_progress_bar

from evolution_api.jobs import StageInput
from evolution_api.layout import checkpoint_prefix, manifest_key
from evolution_api.results import StoredFile, TrainStep
from evolution_api.summaries import TrainSummary
from evolution_jobs.model.packing import Pack
from evolution_jobs.model.prompts import answer_text, prompt_text
from evolution_jobs.model.solver import Solver
from evolution_jobs.model.weights import fetch_solver
from evolution_jobs.program import TerminatedError, log, progress
from evolution_jobs.scene_plan import read_plan
from evolution_jobs.train import checkpoint
from evolution_jobs.train.engine import Trainer, join, write_note
from evolution_jobs.train.frames import Frames
from evolution_jobs.train.order import Batch, Slice, batches, passes, spread
from evolution_jobs.train.record import METRICS, REST, Record
from evolution_jobs.train.selection import commit_confidences, select
from evolution_storage.manifests import commit, committed, read_file, summary_of
from evolution_storage.uri import run_store

T = TypeVar("T")


def train(job: StageInput, terminated: threading.Event) -> TrainSummary:
    """Train the round from where it stands and commit it; the same summary in every process.

    Raises TerminatedError once `terminated` is set in any process, after saving the state; BadInputError for what no retry mends.
    """
    disable_progress_bar()
    join(cuda=job.spec.scheduling.accelerator != "none")
    with tempfile.TemporaryDirectory(prefix="evolution-train-") as scratch:
        summary = Round(job, Path(scratch), terminated).run()
    dist.destroy_process_group()
    return summary


class Round:
    """One process's part of a round. `record` is kept by rank 0 alone."""

    def __init__(self, job: StageInput, scratch: Path, terminated: threading.Event) -> None:
        self.job = job
        self.scratch = scratch
        self.terminated = terminated
        self.training = job.spec.training
        self.labels_by_training = job.spec.difficulty.signal == "training"
        self.rank, self.processes = dist.get_rank(), dist.get_world_size()
        self.store = run_store(job)
        self.plan = read_plan(self.store, job)
        self.selection = select(self.store, job)
        self.frames = Frames(self.plan.root_uri, job.spec)
        self.source = self._fetch_weights()
        device = "cpu" if job.spec.scheduling.accelerator == "none" else "cuda"
        self.solver = Solver.load(self.source, job.spec.model.dtype, device)
        self.trainer = Trainer(self.solver, self.training, job.spec.model.dtype)
        self.record = Record()

    def run(self) -> TrainSummary:
        first, last = self._resume(), self.training.steps
        order = batches(
            self.selection.questions, seed=self.job.spec.seed, round_=self.job.round, size=self.training.global_batch_size
        )
        started = time.monotonic()
        for number, batch in enumerate(itertools.islice(order, first, last), start=first + 1):
            loss, terminated = self._step(number, batch)
            speed = (number - first) * self.training.global_batch_size / (time.monotonic() - started)
            if self.rank == 0:
                progress(number, last, "steps", loss=round(loss, 4), questions_per_second=round(speed, 1))
            if terminated or (number < last and number % self.training.checkpoint_every == 0):
                self._save(number)
            if terminated:
                raise TerminatedError
        return self._commit()

    def _fetch_weights(self) -> Path:
        """The first process of each pod downloads; the others find what it brought."""
        local_rank = dist.get_node_local_rank()
        if local_rank == 0:
            fetch_solver(self.job)
        dist.barrier()
        return fetch_solver(self.job)

    def _resume(self) -> int:
        """Read the state that the round goes on from; the number of its steps that are done."""
        middle = checkpoint.interrupted(self.store, self.job)
        if middle is not None:
            step, manifest = middle
            prefix = checkpoint.step_prefix(self.job.round, step)
            if self.rank == 0:
                self.record = Record.from_files(
                    {name: read_file(self.store, manifest, f"{prefix}/{name}") for name in (METRICS, REST)}
                )
                log.info("the round goes on after step %d, where it was interrupted", step)
        elif self.job.round > 1:
            step, manifest = 0, checkpoint.previous(self.store, self.job)
            prefix = checkpoint.state_prefix(self.job.round - 1)
        else:
            return 0
        folder = self.scratch / "resumed"
        self.trainer.load_state(checkpoint.download(self.store, manifest, prefix, self.rank, folder))
        return step

    def _step(self, number: int, batch: Batch) -> tuple[float, bool]:
        """Step `number` of the round; its loss, and whether any process was told to end."""
        done_before = (self.job.round - 1) * self.training.steps
        torch.manual_seed(hash((self.job.spec.seed, done_before + number, self.rank)))
        shares = spread(batch, self.processes)
        mine = shares[self.rank]
        result = self.trainer.step([self._pack(slice_) for slice_ in mine], max(len(share) for share in shares))
        said: dict[str, float] = {}
        if self.labels_by_training:
            questions = (question for slice_ in mine for question in slice_.questions)
            for question, p in zip(questions, result.confidences, strict=True):
                said.setdefault(question.id, p)
        all_said = gather((self.terminated.is_set(), said))
        if self.rank == 0:
            step = TrainStep(
                step=done_before + number,
                round=self.job.round,
                loss=result.loss,
                learning_rate=self.training.learning_rate,
                gradient_norm=result.gradient_norm,
                questions=tuple(question.id for slice_ in batch for question in slice_.questions),
            )
            self.record.add(step, result.tokens, {q: p for _, one in all_said for q, p in one.items()})
        return result.loss, any(terminated for terminated, _ in all_said)

    def _pack(self, slice_: Slice) -> Pack:
        choices = self.job.spec.model.choices
        return self.solver.pack(
            self.frames.of(slice_.scene),
            [prompt_text(question, choices) for question in slice_.questions],
            [answer_text(question, choices) for question in slice_.questions],
        )

    def _upload_state(self, prefix: str, folder: Path) -> tuple[StoredFile, ...]:
        """Every process stores its own files; the records of all of them."""
        mine = checkpoint.upload(self.store, prefix, self.rank, self.trainer.save_state(folder))
        return tuple(record for records in gather(mine) for record in records)

    def _save(self, number: int) -> None:
        """Commit the state in the middle of the round."""
        prefix = checkpoint.step_prefix(self.job.round, number)
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            stored = self._upload_state(prefix, Path(folder))
        if self.rank == 0:
            files = {f"{prefix}/{name}": content for name, content in self.record.to_files().items()}
            checkpoint.commit_partial(self.store, self.job, number, files, stored)
            log.info("state saved after step %d", number)
        dist.barrier()

    def _commit(self) -> TrainSummary:
        stored = self._upload_state(checkpoint.state_prefix(self.job.round), self.scratch / "state")
        weights = self.scratch / "checkpoint"
        weights.mkdir()
        self.trainer.export(self.source, weights)
        if self.rank == 0:
            self._write_note(weights)
            prefix = checkpoint_prefix(self.job.round)
            files: dict[str, bytes | Path] = {f"{prefix}/{path.name}": path for path in sorted(weights.iterdir())}
            files[checkpoint.metrics_key(self.job.round)] = self.record.metrics
            commit(self.store, self.job, files, self._summary(), already=stored)
        dist.barrier()
        manifest = committed(self.store, self.job.uid, manifest_key(self.job.round, "train"))
        assert manifest is not None
        return summary_of(manifest, TrainSummary)

    def _summary(self) -> TrainSummary:
        """With signal: training, the round's probe parts are written here too."""
        steps, size = self.training.steps, self.training.global_batch_size
        selected = len(self.selection.questions)
        probed = None
        if self.labels_by_training:
            probed = commit_confidences(self.store, self.job, self.selection, self.record.confidences)
        return TrainSummary(
            steps=steps,
            questions=steps * size,
            passes=passes(selected, size=size, steps=steps),
            selected=selected,
            tokens=self.record.tokens,
            layout=checkpoint.layout(self.job),
            train_loss=self.record.train_loss,
            labels=probed.labels if probed else {},
            mean_confidence=probed.mean_confidence if probed else None,
        )

    def _write_note(self, folder: Path) -> None:
        write_note(
            folder,
            run=f"{self.job.namespace}/{self.job.run}",
            uid=self.job.uid,
            round=self.job.round,
            base_model=self.job.spec.model.uri,
            trained_on_validation_scenes_of=list(self.plan.benchmark),
        )


def gather(value: T) -> Sequence[T]:
    """The values of all processes, by rank."""
    values: list[T] = [value] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
