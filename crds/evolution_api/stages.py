"""What a stage is: a value, read by the planner, the manifests, the programs and whoever shows a run.

A new stage is a record here, in the order of a round, and a program `evolution_jobs.<name>`. Nobody else asks for a stage's
name in order to know what it is like.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from evolution_api.kinds import StageName
from evolution_api.run.pod import PodTemplate, ResourceAmounts
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.summaries import (
    CleanupSummary,
    GenerateSummary,
    PrepareSummary,
    ProbeSummary,
    ScoreSummary,
    Summary,
    TrainSummary,
)

LIGHT = PodTemplate(resources=ResourceAmounts(requests={"cpu": "100m", "memory": "256Mi"}))
"""Of programs that ask and delete, which no run says anything about; a namespace with a quota admits no pod without requests."""

Server = Literal["solver", "proposer"]


@dataclass(frozen=True, eq=False)
class Stage:
    name: StageName
    due: Callable[[EvolutionRunSpec, int], bool]
    """Whether a round has the stage, as the spec stands now."""
    summary: type[Summary]
    """What each of its pods says of its work."""
    starts_from: Literal["base", "last round", "this round"] = "base"
    """Whose checkpoint it works with: the base model, or the solver as last round's or this round's training left it."""
    makes_checkpoint: bool = False
    """Whether it is what leaves the round's checkpoint."""
    pod: Callable[[EvolutionRunSpec], PodTemplate] = lambda _: LIGHT
    """What the user says of its pods."""
    loads_model: Callable[[EvolutionRunSpec], bool] = lambda _: False
    """Whether its own pods load a model, and want the accelerator for it."""
    server: Callable[[EvolutionRunSpec], Server | None] = lambda _: None
    """The model server that runs beside it."""
    shards: Callable[[EvolutionRunSpec], int] | None = None
    """How many parts it is split into, a pod each; None: it is one."""
    parallelism: Callable[[EvolutionRunSpec], int] = lambda _: 1
    """How many of them work at once."""
    may_lose: Callable[[EvolutionRunSpec], int] = lambda _: 0
    """How many of them may fail for good without failing the stage."""
    of_a_round: bool = True
    """False: it belongs to a run that is being deleted, and waits in no queue."""

    @property
    def order(self) -> int:
        """Its place in a round."""
        return STAGES.index(self)


def _in_rounds(_: EvolutionRunSpec, round_: int) -> bool:
    return round_ > 0


STAGES = (
    Stage("prepare", due=lambda _, round_: round_ == 0, summary=PrepareSummary, pod=lambda spec: spec.generation.pod),
    Stage(
        "generate",
        due=_in_rounds,
        summary=GenerateSummary,
        pod=lambda spec: spec.generation.pod,
        loads_model=lambda spec: spec.generation.proposer.inline is not None,
        server=lambda spec: "proposer" if spec.generation.proposer.serving is not None else None,
        shards=lambda spec: spec.generation.shards,
        parallelism=lambda spec: spec.generation.parallelism,
        may_lose=lambda spec: spec.generation.max_failed_shards,
    ),
    Stage(
        "probe",
        due=lambda spec, round_: round_ > 0 and spec.difficulty.signal == "probe",
        summary=ProbeSummary,
        starts_from="last round",
        server=lambda _: "solver",
        shards=lambda spec: spec.generation.shards,
        parallelism=lambda spec: spec.probe.parallelism,
    ),
    Stage(
        "train",
        due=_in_rounds,
        summary=TrainSummary,
        starts_from="last round",
        makes_checkpoint=True,
        pod=lambda spec: spec.training.pod,
        loads_model=lambda _: True,
    ),
    Stage(
        "evaluate",  # the base model and the last round always are
        due=lambda spec, round_: round_ % spec.evaluation.every == 0 or round_ >= spec.rounds,
        summary=ScoreSummary,
        starts_from="this round",
        pod=lambda spec: spec.evaluation.pod,
        loads_model=lambda _: True,
    ),
    Stage("cleanup", due=lambda _spec, _round: False, summary=CleanupSummary, of_a_round=False),
)
"""In the order of a round."""
BY_NAME: dict[str, Stage] = {stage.name: stage for stage in STAGES}
