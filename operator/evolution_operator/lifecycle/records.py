"""A finished stage's summaries become numbers in its round's record. What they are is the summary's own affair."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from evolution_api.figures import MOST_IN_STATUS
from evolution_api.kinds import StageName
from evolution_api.layout import checkpoint_prefix
from evolution_api.run.status import RoundStatus
from evolution_api.stages import BY_NAME
from evolution_api.summaries import Summary


def together(stage: StageName, said: Sequence[Summary]) -> Summary | None:
    """What all pods of the stage did; None where none of them told of such work."""
    type_ = BY_NAME[stage].summary
    told = [summary for summary in said if isinstance(summary, type_)]
    return type_.together(told) if told else None


def recorded(record: RoundStatus, stage: StageName, summary: Summary | None, seconds: float) -> RoundStatus:
    """The round's record with what this stage did. A stage that is recorded again replaces its own numbers."""
    update: dict[str, Any] = {} if summary is None else summary.in_round()
    if BY_NAME[stage].makes_checkpoint:
        update["checkpoint"] = checkpoint_prefix(record.round)
    update["seconds"] = {**record.seconds, stage: round(max(seconds, 0.0), 1)}
    figures = {**record.figures, **update.get("figures", {})}
    update["figures"] = dict(islice(figures.items(), MOST_IN_STATUS))
    return record.model_copy(update=update)
