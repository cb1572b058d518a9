"""The run's status as values: conditions in words, the phase, and the figures that follow from a round's record."""

from datetime import datetime
from typing import Literal

from evolution_api.layout import checkpoint_prefix
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.status import Best, Condition, ConditionType, EvolutionRunStatus, Phase, RoundStatus
from evolution_operator.lifecycle.stop_rule import best_of

NOT: dict[ConditionType, str] = {
    "Progressing": "NotProgressing",
    "Suspended": "NotSuspended",
    "Succeeded": "NotFinished",
    "Failed": "NotFailed",
}
"""The conditions that are always there, each with its reason while it is False."""
FOR_KSTATUS: dict[ConditionType | None, ConditionType] = {None: "Reconciling", "Progressing": "Reconciling", "Failed": "Stalled"}
"""What tools that read any kind's status by kstatus (Flux, Helm 4) go by: there only while it is True, beside that one."""


def condition(status: EvolutionRunStatus, type_: ConditionType) -> Condition | None:
    return next((c for c in status.conditions if c.type == type_), None)


def is_true(status: EvolutionRunStatus, type_: ConditionType) -> bool:
    found = condition(status, type_)
    return found is not None and found.status == "True"


def gives_reason(status: EvolutionRunStatus, reason: str) -> bool:
    """Whether that is why the run gets on, or does not."""
    found = condition(status, "Progressing")
    return found is not None and found.reason == reason


def has_ended(status: EvolutionRunStatus) -> bool:
    """After the last stage of the last round; a status without any round has not begun."""
    return status.stage is None and bool(status.rounds)


def with_conditions(
    status: EvolutionRunStatus,
    run: EvolutionRun,
    now: datetime,
    true: ConditionType | None,
    reason: str,
    message: str,
) -> EvolutionRunStatus:
    """The four conditions: `true` is True, the others are False. Reason and message go to it, to Progressing, and to kstatus's.

    A condition's transition time moves only when its status does.
    """
    conditions = []
    beside = FOR_KSTATUS.get(true)
    for type_ in (*NOT, *([beside] if beside is not None else ())):
        value: Literal["True", "False"] = "True" if type_ in (true, beside) else "False"
        told = type_ in (true, beside, "Progressing")
        before = condition(status, type_)
        conditions.append(
            Condition.model_construct(
                type=type_,
                status=value,
                reason=reason if told else NOT[type_],
                message=message if told else "",
                last_transition_time=now if before is None or before.status != value else before.last_transition_time,
                observed_generation=run.metadata.generation,
            )
        )
    return status.model_copy(update={"conditions": tuple(conditions), "observed_generation": run.metadata.generation})


def with_phase(status: EvolutionRunStatus, run: EvolutionRun, phase: Phase) -> EvolutionRunStatus:
    progress = f"{status.round}/{max(run.spec.rounds, status.round)}"
    return status.model_copy(update={"phase": phase, "progress": progress})


def with_record(status: EvolutionRunStatus, run: EvolutionRun, record: RoundStatus) -> EvolutionRunStatus:
    """The record replaces that of the round under way; the run's own figures follow."""
    before = status.rounds[-1]
    assert before.round == record.round == status.round
    update: dict[str, object] = {
        "rounds": (*status.rounds[:-1], record),
        "accepted": status.accepted - before.accepted + record.accepted,
    }
    labelled = record.easy + record.frontier + record.hard
    if labelled:
        update["frontier_percent"] = round(100 * record.frontier / labelled)
    if "score" in record.figures:
        update["score"] = record.figures["score"].mean
    metric = run.spec.evaluation.metric
    best = best_of(metric, (*status.rounds[:-1], record))
    update["best"] = None
    if best is not None:
        made = checkpoint_prefix(best.round) if best.round else run.spec.model.uri
        update["best"] = Best(metric=metric, value=best.figures[metric].mean, round=best.round, checkpoint=made)
    return status.model_copy(update=update)
