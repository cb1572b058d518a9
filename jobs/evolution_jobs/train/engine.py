"""DeepSpeed around the solver: configuration, one optimiser step, state in a folder, weights in Hugging Face layout.

Called by `loop` in every training process. It knows tensors and processes, not rounds, questions or storage.

The loss of a step is a sum over the answer tokens of the global batch, divided by their number. DeepSpeed averages gradients
over processes, so a process scales its own sum by processes / tokens; it then does not matter who took which slice, nor in how
many forward passes.
"""

import json
import logging
import math
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from evolution_api.run.training import Training
from evolution_jobs.model.packing import Pack
from evolution_jobs.model.solver import Solver

# Its progress lines are not ours, and it announces every default; before the import, which logs already.
logging.getLogger("DeepSpeed").setLevel(logging.ERROR)

import deepspeed  # noqa: E402
import deepspeed.ops  # noqa: E402
import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: E402 - it would be imported at the first optimiser, 3 s in every process
from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine  # noqa: E402

# No operator of its own: it would compile a shared-memory all-reduce at start, for seconds and with a compiler that images lack.
deepspeed.ops.__compatible_ops__ = {}

COLLECTIVE_TIMEOUT = timedelta(minutes=30)
"""Longest wait of one process for another: rank 0 may be uploading the checkpoint meanwhile."""
BUCKET_ELEMENTS = 5 * 10**8
"""Gradients reduced at once, at most: DeepSpeed's own default, which it allocates whole."""
TAG = "state"
"""Folder name that DeepSpeed puts below the one that it is given."""
WEIGHTS = ("*.safetensors", "*.bin", "*.index.json", "config.json", "generation_config.json")
"""What a model folder holds besides the processor."""


def join(*, cuda: bool) -> None:
    """Join the training's process group, by the variables that torchrun sets."""
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // int(os.environ["LOCAL_WORLD_SIZE"])))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=COLLECTIVE_TIMEOUT)


def configuration(training: Training, dtype: str, parameters: int) -> dict[str, Any]:
    """DeepSpeed's configuration. One micro-batch an optimiser step, as far as it knows: `step` says itself where one ends.

    The optimiser is torch's AdamW everywhere: DeepSpeed's own are compiled at run time, which asks for a compiler in the image.
    """
    zero = training.deepspeed
    bucket = min(BUCKET_ELEMENTS, parameters)
    stages: dict[str, Any] = {"stage": zero.zero_stage, "reduce_bucket_size": bucket, "allgather_bucket_size": bucket}
    if zero.offload_optimizer:
        stages["offload_optimizer"] = {"device": "cpu"}
    if zero.offload_parameters:
        stages["offload_param"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.gradient_clipping,
        "optimizer": {
            "type": "AdamW",
            "params": {"lr": training.learning_rate, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "torch_adam": True},
        },
        "zero_optimization": stages,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": dtype == "bfloat16"},
        "fp16": {"enabled": dtype == "float16"},
        "steps_per_print": None,
    }


class StateWriter(TorchCheckpointEngine):  # type: ignore[misc] # DeepSpeed has no types
    """Says why a file cannot be written: of a full disk torch itself says "unexpected pos"."""

    def save(self, state_dict: dict[str, Any], path: str) -> None:
        """Raises OSError."""
        with Path(path).open("wb") as file:
            try:
                torch.save(state_dict, file)
            except RuntimeError as failed:
                if isinstance(failed.__context__, OSError):
                    raise failed.__context__ from None
                raise


class Step(NamedTuple):
    loss: float
    """Mean over the answer tokens of the global batch, nats."""
    tokens: int
    """Answer tokens of the global batch, end tokens included."""
    gradient_norm: float
    """Before clipping."""
    confidences: list[float]
    """This process's own, question by question in the order of its packs: exp of the mean log-probability, end token left out."""


class Trainer:
    """The solver in training. Every method is collective: all processes call it together."""

    def __init__(self, solver: Solver, training: Training, dtype: str) -> None:
        self.solver = solver
        self.training = training
        self.rank = dist.get_rank()
        self.processes = dist.get_world_size()
        parameters = list(solver.model.parameters())
        self.engine: Any
        self.engine, *_ = deepspeed.initialize(
            model=solver.model,
            model_parameters=parameters,
            config=configuration(training, dtype, sum(p.numel() for p in parameters)),
        )
        self.engine.checkpoint_engine = StateWriter()
        self.engine.train()

    def step(self, packs: Sequence[Pack], most: int) -> Step:
        """One optimiser step on this process's `packs` of the global batch; no process has more than `most`.

        From ZeRO stage 2 on the processes communicate in every forward and backward pass, so all must do the same number of
        them: one that has fewer repeats its last with weight 0.
        """
        size = self.training.micro_batch_size
        groups = [packs[start : start + size] for start in range(0, len(packs), size)]
        passes = math.ceil(most / size) if self.training.deepspeed.zero_stage >= 2 else len(groups)
        tokens = int(self._sum(float(sum(len(pack.targets) for pack in packs))))
        own_sum = torch.zeros((), dtype=torch.float64)
        confidences: list[float] = []
        for number in range(passes):
            real = number < len(groups)
            self.engine.set_gradient_accumulation_boundary(number + 1 == passes)
            per_question = self.solver.log_probabilities(*(groups[number] if real else groups[-1]), through=self.engine)
            loss = -torch.cat(per_question).sum()
            self.engine.backward(loss * (self.processes / tokens if real else 0.0), scale_wrt_gas=False)
            if real:
                own_sum += loss.detach().double().cpu()
                confidences += [
                    float(p) for p in torch.stack([t.detach()[:-1].mean() for t in per_question]).exp().clamp(max=1.0)
                ]
        norm = self._gradient_norm()
        self.engine.step()
        if norm is None:
            norm = float(self.engine.get_global_grad_norm())
        return Step(self._sum(float(own_sum)) / tokens, tokens, norm, confidences)

    def _gradient_norm(self) -> float | None:
        """Without ZeRO and in float32 DeepSpeed clips but does not tell the norm; elsewhere it is known after its step."""
        if self.training.deepspeed.zero_stage > 0 or self.solver.dtype != torch.float32:
            return None
        return float(torch.nn.utils.get_total_norm(p.grad for p in self.solver.model.parameters() if p.grad is not None))

    @staticmethod
    def _sum(value: float) -> float:
        """Over all processes."""
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    def save_state(self, folder: Path) -> list[Path]:
        """Write this process's share of weights, optimiser state and counters to a folder of its own; returns the files."""
        (folder / TAG).mkdir(parents=True)  # DeepSpeed takes the folder to be shared, and makes it in the first process alone
        self.engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)
        return sorted((folder / TAG).iterdir())

    def load_state(self, folder: Path) -> None:
        """Read back the files that `save_state` returned: this process's own and those that all need."""
        self.engine.load_checkpoint(str(folder.parent), tag=folder.name)
        # Pickle writes a string anew unless it is the very same object; with the names' own ones, the bytes stay the same too.
        for group in self.engine.basic_optimizer.param_groups:
            named = {sys.intern(name): value for name, value in group.items()}
            group.clear()
            group.update(named)

    def export(self, source: Path, folder: Path) -> None:
        """Write the weights to `folder` in Hugging Face layout, and beside them the processor that lies in `source`."""
        partitioned = self.training.deepspeed.zero_stage == 3
        weights: dict[str, Tensor] | None = (
            self.engine._zero3_consolidated_16bit_state_dict() if partitioned else self.engine.module.state_dict()
        )
        if self.rank != 0:
            return
        self.solver.model.save_pretrained(folder, state_dict=weights)
        for path in sorted(source.iterdir()):
            if path.is_file() and not any(path.match(pattern) for pattern in (*WEIGHTS, ".*", "*.md", NOTE)):
                shutil.copyfile(path, folder / path.name)


NOTE = "evolution.json"
"""What a checkpoint says of its origin."""


def write_note(folder: Path, **facts: object) -> None:
    (folder / NOTE).write_text(json.dumps(facts, indent=1) + "\n")
