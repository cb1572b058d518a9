"""What a program of each stage says in the end, and figures as an evaluation measures them."""

from evolution_api.figures import Figure
from evolution_api.summaries import (
    AnySummary,
    CleanupSummary,
    GenerateSummary,
    PrepareSummary,
    ProbeSummary,
    ScoreSummary,
    StateLayout,
    TrainSummary,
)

LAYOUT = StateLayout(processes=2, zero_stage=2)


def figure(mean: float, questions: int = 100) -> Figure:
    return Figure(mean=mean, low=round(mean - 0.02, 6), high=round(mean + 0.02, 6), questions=questions)


def scored(**means: float) -> ScoreSummary:
    return ScoreSummary(questions={"object_counting": 100}, figures={name: figure(mean) for name, mean in means.items()})


def trained(train_loss: float = 1.5) -> TrainSummary:
    return TrainSummary(steps=4, questions=32, passes=1, selected=32, tokens=64, layout=LAYOUT, train_loss=train_loss)


def stage_summary(stage: str, round_: int = 1) -> AnySummary:
    """Every number differs, so that a mix-up shows."""
    summaries: dict[str, AnySummary] = {
        "prepare": PrepareSummary(train=9, heldout=4, skipped=0, benchmark=0, questions={"object_counting": 8}),
        "generate": GenerateSummary(
            scenes=5, proposed=10, executed=9, accepted=6, rejected={"blind": 3, "duplicate": 1}, kinds={"object_counting": 6}
        ),
        "probe": ProbeSummary(probed=6, labels={"easy": 1, "frontier": 3, "hard": 2}, mean_confidence=0.5),
        "train": trained(1.5 / round_ if round_ else 0.0),
        "evaluate": scored(score=0.4 + round_ / 10, seeing=round_ / 10, blind=0.3),
        "cleanup": CleanupSummary(deleted=7),
    }
    return summaries[stage]
