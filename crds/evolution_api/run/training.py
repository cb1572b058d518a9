"""`spec.training`: how the solver learns."""

from typing import Literal

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.kinds import LABELS, Label
from evolution_api.run.pod import PodTemplate
from evolution_api.run.rules import IMMUTABLE, Rule, Ruled


class DeepSpeed(Resource):
    """How DeepSpeed splits and offloads what training holds in memory."""

    zero_stage: int = Field(default=2, ge=0, le=3)
    """What is split over the processes: nothing, optimiser state, gradients too, parameters too."""
    offload_optimizer: bool = False
    """Keep the optimiser state in host memory (stage 1 and above)."""
    offload_parameters: bool = False
    """Keep parameters in host memory (stage 3)."""


class Training(Ruled):
    """How the solver learns from a round's questions."""

    method: Literal["sft"] = Field(default="sft", json_schema_extra=IMMUTABLE)
    """Supervised fine-tuning on the program-verified answers."""
    steps: int = Field(default=100, ge=1, le=1_000_000, json_schema_extra=IMMUTABLE)
    """Optimiser steps a round."""
    global_batch_size: int = Field(default=64, ge=1, le=65_536, json_schema_extra=IMMUTABLE)
    """Questions an optimiser step, over all processes."""
    micro_batch_size: int = Field(default=1, ge=1, le=1024)
    """Scenes (each with its packed questions) in one forward pass of one process."""
    learning_rate: float = Field(default=1e-6, gt=0, le=1, json_schema_extra=IMMUTABLE)
    """Constant, without warm-up."""
    gradient_clipping: float = Field(default=1.0, gt=0, le=1000, json_schema_extra=IMMUTABLE)
    """Largest global gradient norm."""
    nodes: int = Field(default=1, ge=1, le=1024)
    """Pods of the training job."""
    processes_per_node: int = Field(default=1, ge=1, le=64)
    """Training processes a pod, one accelerator each."""
    deepspeed: DeepSpeed = DeepSpeed()
    select: tuple[Label, ...] = Field(default=LABELS, min_length=1, max_length=len(LABELS), json_schema_extra=IMMUTABLE)
    """Labels that are trained on; the paper trains on all."""
    checkpoint_every: int = Field(default=50, ge=1, le=1_000_000)
    """Steps between checkpoints within a round, for a crash."""
    pod: PodTemplate = PodTemplate()

    rules = (
        Rule(
            "self.globalBatchSize >= self.nodes * self.processesPerNode",
            lambda s: s.global_batch_size >= s.nodes * s.processes_per_node,
            "training.globalBatchSize must be at least nodes x processesPerNode, or a process has nothing to do; raise it",
        ),
        Rule(
            "self.select.all(label, self.select.exists_one(other, other == label))",
            lambda s: len(set(s.select)) == len(s.select),
            "training.select names a label twice; name each once",
        ),
        Rule(
            "!self.deepspeed.offloadParameters || self.deepspeed.zeroStage == 3",
            lambda s: not s.deepspeed.offload_parameters or s.deepspeed.zero_stage == 3,
            "training.deepspeed.offloadParameters needs zeroStage 3: only there are parameters split; set zeroStage: 3",
        ),
        Rule(
            "!self.deepspeed.offloadOptimizer || self.deepspeed.zeroStage >= 1",
            lambda s: not s.deepspeed.offload_optimizer or s.deepspeed.zero_stage >= 1,
            "training.deepspeed.offloadOptimizer needs zeroStage 1 or above; raise zeroStage",
        ),
    )
