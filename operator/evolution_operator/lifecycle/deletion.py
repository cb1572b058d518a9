"""How a deleted run goes: its children first, then, where `storage.onDelete` is Delete, its objects in storage.

Only such a run carries our finalizer. It is let go of when the cleanup Job has succeeded; when that Job has failed
for good; when the time box below is over; or at once, when the user sets `storage.onDelete: Retain` on the run that
is being deleted, which is the documented way out. What is left behind in storage is then named in an event.
"""

from datetime import datetime, timedelta

from evolution_api.layout import FINALIZER, run_prefix
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.status import EvolutionRunStatus
from evolution_operator.interface import Event, KubeObject, Plan, Settings
from evolution_operator.lifecycle.backoff import backoff_s
from evolution_operator.lifecycle.family import Family, named
from evolution_operator.lifecycle.rounds import Place
from evolution_operator.lifecycle.status import condition, gives_reason, with_conditions, with_phase
from evolution_operator.manifests.catalogue import WORK
from evolution_operator.pod import Work

CLEANUP = Place(0, "cleanup")
TIME_BOX_S = 3600
"""A finalizer is held at most this long after the deletion was asked for (or retry.stageTimeoutSeconds, where that is longer)."""
LET_GO = ("StorageDeleted", "StorageLeftBehind")
"""Reasons of the Progressing condition that say that the cleanup is over, whose Job goes before the finalizer does."""
WAY_OUT = "to let the run go at once and keep its objects, set spec.storage.onDelete to Retain"


def finalizers_of(run: EvolutionRun, *, held: bool) -> tuple[str, ...]:
    others = tuple(f for f in run.metadata.finalizers if f != FINALIZER)
    return (*others, FINALIZER) if held else others


def plan_deletion(run: EvolutionRun, family: Family, now: datetime, settings: Settings) -> Plan:
    asked = run.metadata.deletion_timestamp
    assert asked is not None
    status = _entered(run.status, family)
    unheard = family.unheard(CLEANUP, status.attempt)
    prefix = f"{run.spec.storage.uri}/{run_prefix(run.metadata.namespace, run.metadata.name, run.metadata.uid)}"
    children = [child for child in family.children if child.place != CLEANUP]
    delete = [child.ref for child in children if not child.terminating]
    held = FINALIZER in run.metadata.finalizers and run.spec.storage.on_delete == "Delete"
    box_ends = asked + timedelta(seconds=max(TIME_BOX_S, run.spec.retry.stage_timeout_seconds or 0))
    apply: tuple[KubeObject, ...] = ()
    events: list[Event] = []
    requeue = (box_ends - now).total_seconds()
    busy = [child for child in children if child.alive]
    said = condition(status, "Progressing")
    reason, message = "Deleting", "the run's children are being deleted"

    if not held:
        pass
    elif said is not None and said.reason in LET_GO:
        held, reason, message = False, said.reason, said.message
    elif now >= box_ends:
        held = False
        events.append(_left_behind(prefix, "the time for it is over"))
    elif busy or family.orphans:
        reason, message = "WaitingForDeletion", f"waiting for {named([*busy, *family.orphans])} to go; {WAY_OUT}"
    else:
        verdict = family.verdict(CLEANUP, status.attempt, "work")
        used = status.attempt - status.first_attempt + 1
        reason, message = "DeletingStorage", f"deleting {prefix}; {WAY_OUT}"
        if verdict.state == "Succeeded" or (verdict.reason == "SummaryMissing" and verdict.state == "Failed"):
            held = False
            events.append(Event("Normal", "StorageDeleted", f"deleted {prefix}"))
        elif verdict.state == "Failed" and (verdict.hopeless or used > run.spec.retry.limit):
            held = False
            events.append(_left_behind(prefix, verdict.message))
        elif verdict.state == "Failed":
            wait_s = backoff_s(run.spec.retry, used)
            retry_at = (verdict.finished or now) + timedelta(seconds=wait_s)
            status = status.model_copy(update={"attempt": status.attempt + 1, "retry_at": retry_at})
            failure = f"deleting storage failed, again in {wait_s} s: {verdict.message}"
            reason, message = "Retrying", f"{failure}; {WAY_OUT}"
            events.append(Event("Warning", reason, failure))
            requeue = max((retry_at - now).total_seconds(), 0)
        elif verdict.state == "Absent" and status.retry_at is not None and now < status.retry_at:
            if said is not None:
                reason, message = said.reason, said.message
            requeue = (status.retry_at - now).total_seconds()
        elif verdict.state == "Absent" and ("Job", _cleanup(run, status, settings).name()) not in family.taken:
            apply = (WORK["cleanup"].manifest(_cleanup(run, status, settings)),)
            status = status.model_copy(update={"retry_at": None})
        elif verdict.in_trouble(now):
            reason, message = verdict.reason, f"deleting {prefix}: {verdict.message}; {WAY_OUT}"
            if not gives_reason(run.status, reason):
                events.append(Event("Warning", reason, message, once=True))
        elif verdict.told_from is not None:
            requeue = min(requeue, (verdict.told_from - now).total_seconds())

    if not held:
        delete += [child.ref for child in family.children if child.place == CLEANUP and not child.terminating]
    if events and events[-1].reason in LET_GO:
        reason, message = events[-1].reason, events[-1].message
    status = with_phase(with_conditions(status, run, now, None, reason, message), run, "Deleting")
    return Plan(
        status,
        finalizers_of(run, held=held),
        apply,
        tuple(delete),
        tuple(events),
        requeue if held else None,
        unheard=unheard,
        unexplained=held and family.unexplained(now),
    )


def _entered(status: EvolutionRunStatus, family: Family) -> EvolutionRunStatus:
    if status.stage != "cleanup":
        fresh = {"stage": "cleanup", "attempt": 1, "first_attempt": 1, "stage_started": None, "retry_at": None}
        status = status.model_copy(update=fresh)
    newest = max([status.attempt, *family.attempts(CLEANUP)])
    if newest > status.attempt:
        status = status.model_copy(update={"attempt": newest, "retry_at": None})
    return status


def _cleanup(run: EvolutionRun, status: EvolutionRunStatus, settings: Settings) -> Work:
    return Work(run, CLEANUP.stage, CLEANUP.round, status.attempt, settings)


def _left_behind(prefix: str, why: str) -> Event:
    return Event("Warning", "StorageLeftBehind", f"{prefix} was not deleted: {why}; delete it by hand")
