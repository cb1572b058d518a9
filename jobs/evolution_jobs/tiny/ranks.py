"""Processes that pre-train one model together: each makes its own rooms, and every step takes the mean of their gradients."""

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed

CLIP = 1.0
"""Largest norm of the mean gradient."""


@dataclass(frozen=True)
class Ranks:
    rank: int = 0
    world: int = 1

    def numbers(self, step: int, each: int) -> range:
        """The rooms of this rank in that step."""
        first = (step * self.world + self.rank) * each
        return range(first, first + each)

    def step(self, optimizer: torch.optim.Optimizer, passed: float) -> float:
        """One step along the ranks' mean gradient; returns the mean of what each rank calls `passed`, the same on all."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor([passed])])
        if self.world > 1:
            torch.distributed.all_reduce(flat)
            flat /= self.world
        for parameter, mean in zip(parameters, torch.split(flat[:-1], [p.numel() for p in parameters]), strict=True):
            parameter.grad = mean.view_as(parameter)
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return float(flat[-1])


def run_ranks(world: int, work: Callable[..., None], *arguments: Any) -> None:
    """`work(Ranks, *arguments)` in so many processes of one thread each; raises RuntimeError if one of them fails."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=_rank, args=(Ranks(rank, world), Path(folder) / "store", work, arguments))
            for rank in range(world)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"a rank failed; exit codes {[process.exitcode for process in processes]}")


def _rank(ranks: Ranks, store: Path, work: Callable[..., None], arguments: Sequence[Any]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=ranks.rank, world_size=ranks.world)
    work(ranks, *arguments)
    torch.distributed.destroy_process_group()
