"""The life cycle of a run: every rule of it, and nothing else. Called by the cluster adapter and by the local one.

This module owns no client, no clock and no randomness, and remembers nothing: `plan()` follows from the spec, the
stored status and what is there now. What woke the caller is not asked. These are the rules.

**Order.** Round 0 prepares the scenes and evaluates the base model. Every further round generates, probes (unless the
signal is training), trains, and evaluates (every n-th round and the last). A place (round, stage) is passed in one
direction only, and only when an attempt of it has succeeded and its model server is gone. The run ends with the last
round, or before it by the stop rule.

**Two memories.** The status says where the run stands. Children say what a lost status write forgot: an attempt that
exists counts, and a child beyond the stored place proves that the place was passed. The status keeps what children
said after they are gone; a finished child is deleted only when the stored status has reached a later round.

**One at a time.** Children are write-once: made, left alone, deleted. Nothing is made while anything of the run still
holds a pod, except a stage's own model server beside its work. So two attempts are never alive together, and a
solver's accelerators are free before training asks for them. A child deleted by hand is made again under its name,
once its pods are gone. A child whose labels and name do not fit is deleted. What belongs to another run is never
touched: the run says so and waits.

**Failure.** A failed attempt is followed by a new one, under a new name, after a back-off, until `retry.limit`
further attempts are used up. A program that says that doing the same again must fail again fails the run at once. A
success that left no readable last words counts as a failure: the next attempt finds the work committed and repeats
the words. Shards that fail for good may be as many as `maxFailedShards`. An attempt past `retry.stageTimeoutSeconds`
is deleted and counts as failed; so is one whose server does not get ready within `probe.timeoutSeconds`, or beside
whose server nothing has run for as long, for a server that nobody asks only holds accelerators. The clock of an
attempt stands still while it is queued or suspended.

**Queues.** Children wait in the queue of `scheduling.queueName` until they are admitted; what runs beside a model
server waits in none, for it takes no accelerator and the server's would wait with it.

**Trouble.** Why a pod cannot start, or is missing for longer than a busy controller takes, is told in the Progressing
condition, and in one event when it comes up. It is waited for, within those time limits.

**Failed runs** hold no pod, keep everything, and go on from the failed stage with a fresh set of attempts when the
resume annotation gets a new value. A value that is set on a run that has not failed is taken note of and does
nothing.

**Suspend** deletes what is alive and keeps the place and the attempt; the programs go on from what they committed.
What finished meanwhile counts.

**Changed spec.** More rounds re-open a run that had succeeded, and so does a stop rule that no longer holds. Fewer
rounds than the one under way end the run with that one. Retry settings count from the next decision. Pods under way
keep the spec that they started with.

**Deletion** is in `deletion.py`, the stop rule in `stop_rule.py`, the back-off in `backoff.py`, the stages of a round
in `rounds.py`, what children say in `verdicts.py`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from evolution_api.layout import ANNOTATION_RESUME
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.run.status import EvolutionRunStatus, RoundStatus
from evolution_api.stages import BY_NAME
from evolution_operator.children.verdict import ABSENT, Verdict
from evolution_operator.interface import Event, KubeObject, Observed, Plan, Ref, Settings
from evolution_operator.lifecycle.backoff import backoff_s
from evolution_operator.lifecycle.deletion import finalizers_of, plan_deletion
from evolution_operator.lifecycle.family import Child, Family, family_of, named
from evolution_operator.lifecycle.records import recorded, together
from evolution_operator.lifecycle.rounds import START, Place, after, first
from evolution_operator.lifecycle.status import (
    condition,
    gives_reason,
    has_ended,
    is_true,
    with_conditions,
    with_phase,
    with_record,
)
from evolution_operator.lifecycle.stop_rule import stopped_early
from evolution_operator.manifests.catalogue import SERVER, WORK
from evolution_operator.pod import Work

NOT_STARTED = ("Retrying", "WaitingForDeletion", "ChildOfAnotherRun", "Resumed")
"""Reasons of the Progressing condition that stand before an attempt's first child."""


FRESH: dict[str, object] = {"attempt": 1, "first_attempt": 1, "stage_started": None, "retry_at": None}
"""The status of a place before anything was tried there."""


@dataclass(frozen=True)
class Steps:
    """What is done next, and what the Progressing condition says about it."""

    reason: str = ""
    message: str = ""
    trouble: bool = False
    """Whether somebody may have to mend something."""
    apply: tuple[KubeObject, ...] = ()
    delete: tuple[Ref, ...] = ()
    requeue_after_s: float | None = None


def plan(run: EvolutionRun, observed: Observed, now: datetime, settings: Settings) -> Plan:
    """What to do about `run` now. `now` is aware; the run's status is the stored one, however old."""
    family = family_of(run, observed)
    if run.metadata.deletion_timestamp is not None:
        return plan_deletion(run, family, now, settings)
    status, opening = _opened(run, now)
    unheard = status.stage is not None and family.unheard(Place(status.round, status.stage), status.attempt)
    status, passed = _advanced(run, status, family, now)
    events = [*opening, *passed]

    if is_true(status, "Failed"):
        steps = _stopped(family, run, status)
        status = with_phase(status.model_copy(update={"observed_generation": run.metadata.generation}), run, "Failed")
    elif has_ended(status):
        steps = _stopped(family, run, status)
        why = stopped_early(run.spec.evaluation, status.rounds) if status.round < run.spec.rounds else None
        reason, message = ("StoppedEarly", why) if why else ("RunSucceeded", f"all {status.round} rounds are done")
        if not is_true(run.status, "Succeeded"):
            events.append(Event("Normal", "RunSucceeded", message))
        status = with_phase(with_conditions(status, run, now, "Succeeded", reason, message), run, "Succeeded")
    elif run.spec.suspend:
        steps = _stopped(family, run, status)
        status = status.model_copy(update={"stage_started": None})
        alive = [child for child in family.children if child.alive]
        if alive or family.orphans:
            message = f"waiting for {named([*alive, *family.orphans])} to go"
            status = with_conditions(status, run, now, None, "Suspending", message)
        else:
            message = "spec.suspend is true: no pod is held; set it to false to go on"
            status = with_conditions(status, run, now, "Suspended", "Suspended", message)
        status = with_phase(status, run, "Suspended")
        if run.status.phase != "Suspended":
            events.append(Event("Normal", "Suspended", f"suspended in {_where(run.spec, status)}"))
    else:
        if run.status.phase == "Suspended":
            events.append(Event("Normal", "Resumed", f"going on with {_where(run.spec, status)}"))
        status, steps = _next_steps(run, status, family, now, settings)
        if steps.reason == "StageRunning" and not _was_running(run.status, status):
            events.append(Event("Normal", "StageStarted", steps.message))
        if steps.trouble and not gives_reason(run.status, steps.reason):
            events.append(Event("Warning", steps.reason, steps.message, once=True))
        status = with_conditions(status, run, now, "Progressing", steps.reason, steps.message)
        idle = (status.round, status.stage) == START and status.stage_started is None
        status = with_phase(status, run, "Pending" if idle else "Running")

    held = run.spec.storage.on_delete == "Delete"
    return Plan(
        status,
        finalizers_of(run, held=held),
        steps.apply,
        steps.delete,
        tuple(events),
        steps.requeue_after_s,
        unheard=unheard,
        unexplained=family.unexplained(now),
    )


def _opened(run: EvolutionRun, now: datetime) -> tuple[EvolutionRunStatus, list[Event]]:
    """The stored status, begun, re-opened or resumed where that is due."""
    status, events = run.status, []
    wish = run.metadata.annotations.get(ANNOTATION_RESUME)
    wished = wish is not None and wish != status.resumed
    if not status.rounds or status.rounds[-1].round != status.round:
        # Nothing yet, or a status that contradicts itself; children know better, and programs repeat what is committed.
        kept = {"conditions": status.conditions, "resumed": status.resumed}
        begun = {"stage": START.stage, "rounds": (RoundStatus(round=START.round, started=now),)}
        status = EvolutionRunStatus().model_copy(update=kept | begun)
    elif has_ended(status) and status.round < run.spec.rounds:
        if stopped_early(run.spec.evaluation, status.rounds) is None:
            status = _at(status, first(run.spec, status.round + 1), now)
            events.append(Event("Normal", "Reopened", f"the run goes on with round {status.round} of {run.spec.rounds}"))
    elif is_true(status, "Failed") and wished:
        again = status.attempt + 1
        fresh = {"attempt": again, "first_attempt": again, "retry_at": None, "stage_started": None}
        status = status.model_copy(update=fresh)
        message = f"resumed {_where(run.spec, status)} with a fresh set of attempts"
        events.append(Event("Normal", "Resumed", message))
        status = with_conditions(status, run, now, "Progressing", "Resumed", message)
    if status.retry_at is not None:
        soonest = min(status.retry_at, now + timedelta(seconds=run.spec.retry.max_backoff_seconds))
        status = status.model_copy(update={"retry_at": soonest})
    return (status.model_copy(update={"resumed": wish}) if wished else status), events


def _advanced(
    run: EvolutionRun, status: EvolutionRunStatus, family: Family, now: datetime
) -> tuple[EvolutionRunStatus, list[Event]]:
    """Past everything that has succeeded, and to the next attempt of what has failed."""
    events: list[Event] = []
    while status.stage is not None and not is_true(status, "Failed"):
        place = Place(status.round, status.stage)
        attempts = family.attempts(place)
        if attempts and attempts[-1] > status.attempt:
            status = status.model_copy(update={"attempt": attempts[-1], "retry_at": None, "stage_started": None})
        verdicts = {attempt: family.verdict(place, attempt, "work") for attempt in attempts}
        success = next((verdict for verdict in verdicts.values() if verdict.state == "Succeeded"), None)
        if success is not None:
            if success is verdicts.get(status.attempt) and family.find(place, status.attempt, "server") is not None:
                break
            status = _with_summaries(run, status, success, now)
            summary = together(place.stage, success.summaries)
            brought = f": {summary.told()}" if summary is not None and summary.told() else ""
            events.append(Event("Normal", "StageSucceeded", f"{place.stage} of round {place.round} succeeded{brought}"))
            status = _passed(run, status, now)
            continue
        if family.reaches_beyond(place):
            status = _passed(run, status, now)
            continue
        server = family.verdict(place, status.attempt, "server")
        failure = _failure(run, status, verdicts.get(status.attempt, ABSENT), server, now)
        if failure is None:
            break
        lost = failure.wanted - failure.completed
        if _is_tolerable(run.spec, status, failure):
            message = f"{place.stage} of round {place.round} goes on without {lost} of {failure.wanted} shards: {failure.message}"
            events.append(Event("Warning", "ShardsLost", message))
            status = _passed(run, _with_summaries(run, status, failure, now), now)
            continue
        status, event = _after_failure(run, status, failure, now)
        events.append(event)
        break
    return status, events


def _failure(run: EvolutionRun, status: EvolutionRunStatus, work: Verdict, server: Verdict, now: datetime) -> Verdict | None:
    """Why the attempt under way has failed; None while it may still succeed."""
    if work.state == "Failed":
        return work
    if run.spec.suspend:
        return None
    if server.state == "Failed":
        return server
    deadline = _deadline(run.spec, status, work, server)
    if deadline is None or now < deadline.at:
        return None
    return Verdict("Failed", deadline.reason, f"{deadline.message}: {server.message or work.message}".rstrip(": "))


@dataclass(frozen=True)
class _Deadline:
    at: datetime
    reason: str
    message: str


def _deadline(spec: EvolutionRunSpec, status: EvolutionRunStatus, work: Verdict, server: Verdict) -> _Deadline | None:
    """The nearest time limit of the attempt under way."""
    if work.state == "Terminating":
        return None
    limits = []
    patience = timedelta(seconds=spec.probe.timeout_seconds)
    started = None if _is_queued(work, server) else status.stage_started or work.started
    if started is not None and spec.retry.stage_timeout_seconds is not None:
        limit = spec.retry.stage_timeout_seconds
        message = f"not done within retry.stageTimeoutSeconds {limit}"
        limits.append(_Deadline(started + timedelta(seconds=limit), "DeadlineExceeded", message))
    if started is not None and work.state == "Absent" and server.state == "Pending":
        message = f"model server not ready within probe.timeoutSeconds {spec.probe.timeout_seconds}"
        limits.append(_Deadline(started + patience, "ServerNotReady", message))
    idle_since, why = work.idle_since, ""
    said = condition(status, "Progressing")
    if work.state == "Absent" and server.state == "Running" and said is not None:
        if said.status == "False":  # the API server refuses to take it
            idle_since, why = said.last_transition_time, f": {said.message}"
        elif said.reason == "ChildOfAnotherRun":
            idle_since, why = started, f": {said.message}"
    if idle_since is not None and server.state != "Absent":
        message = f"nothing ran beside its model server for probe.timeoutSeconds {spec.probe.timeout_seconds}{why}"
        limits.append(_Deadline(idle_since + patience, "ServerIdle", message))
    return min(limits, key=lambda d: d.at, default=None)


def _is_queued(work: Verdict, server: Verdict) -> bool:
    return work.state == "Queued" or (work.state == "Absent" and server.state == "Queued")


def _is_tolerable(spec: EvolutionRunSpec, status: EvolutionRunStatus, failure: Verdict) -> bool:
    """Whether what is missing may stay missing: few enough shards, and no attempt left that could mend them."""
    lost = failure.wanted - failure.completed
    for_good = 0 < lost == failure.hopeless or _is_last_attempt(spec, status)
    return lost <= _tolerated(spec, status, failure) and for_good


def _tolerated(spec: EvolutionRunSpec, status: EvolutionRunStatus, failure: Verdict) -> int:
    """How many shards this failure may cost; none where it is not shards that failed (a deadline, a server)."""
    return BY_NAME[status.stage].may_lose(spec) if status.stage is not None and failure.wanted > 1 else 0


def _is_last_attempt(spec: EvolutionRunSpec, status: EvolutionRunStatus) -> bool:
    return status.attempt - status.first_attempt >= spec.retry.limit


def _after_failure(
    run: EvolutionRun, status: EvolutionRunStatus, failure: Verdict, now: datetime
) -> tuple[EvolutionRunStatus, Event]:
    cannot_succeed = failure.hopeless > _tolerated(run.spec, status, failure)
    used = status.attempt - status.first_attempt + 1
    where = _where(run.spec, status)
    if cannot_succeed or _is_last_attempt(run.spec, status):
        verb = "cannot succeed" if cannot_succeed else f"failed {used} times"
        message = f"{where} {verb}: {failure.message}"
        status = status.model_copy(update={"stage_started": None, "retry_at": None})
        status = with_conditions(status, run, now, "Failed", failure.reason or "StageFailed", f"{message}; {_way_on(run)}")
        return status, Event("Warning", "RunFailed", message, failure.reason)
    wait_s = backoff_s(run.spec.retry, used)
    again = {
        "attempt": status.attempt + 1,
        "retry_at": (failure.finished or now) + timedelta(seconds=wait_s),
        "stage_started": None,
    }
    message = f"{where} failed, again in {wait_s} s: {failure.message}"
    status = with_conditions(status.model_copy(update=again), run, now, "Progressing", "Retrying", message)
    return status, Event("Warning", "Retrying", message, failure.reason)


def _way_on(run: EvolutionRun) -> str:
    name, namespace = run.metadata.name, run.metadata.namespace
    return (
        "mend it, then resume the run: "
        f"kubectl annotate --overwrite -n {namespace} evolutionrun {name} {ANNOTATION_RESUME}=$(date +%s)"
    )


def _with_summaries(run: EvolutionRun, status: EvolutionRunStatus, end: Verdict, now: datetime) -> EvolutionRunStatus:
    assert status.stage is not None
    finished = end.finished or now
    started = status.stage_started or end.started or finished
    summary = together(status.stage, end.summaries)
    record = recorded(status.rounds[-1], status.stage, summary, (finished - started).total_seconds())
    return with_record(status, run, record)


def _passed(run: EvolutionRun, status: EvolutionRunStatus, now: datetime) -> EvolutionRunStatus:
    """The status at the next place; without a stage where the run has ended."""
    assert status.stage is not None
    following = after(run.spec, Place(status.round, status.stage))
    if following is not None:
        return _at(status, following, now)
    record = status.rounds[-1].model_copy(update={"finished": now})
    status = status.model_copy(update={"rounds": (*status.rounds[:-1], record)})
    if status.round >= run.spec.rounds or stopped_early(run.spec.evaluation, status.rounds) is not None:
        return status.model_copy(update={"stage": None, **FRESH})
    return _at(status, first(run.spec, status.round + 1), now)


def _at(status: EvolutionRunStatus, place: Place, now: datetime) -> EvolutionRunStatus:
    update: dict[str, object] = {"round": place.round, "stage": place.stage, **FRESH}
    if place.round > status.rounds[-1].round:
        update["rounds"] = (*status.rounds, RoundStatus(round=place.round, started=now))
    return status.model_copy(update=update)


def _outdated(family: Family, run: EvolutionRun, status: EvolutionRunStatus) -> list[Child]:
    """Strays, and children of rounds that the status has left behind, the stored one too."""
    oldest = min(run.status.round, status.round)
    return [c for c in family.children if c.place is None or c.place.round < oldest]


def _stopped(family: Family, run: EvolutionRun, status: EvolutionRunStatus) -> Steps:
    """Nothing holds a pod any more."""
    outdated = _outdated(family, run, status)
    doomed = [c for c in family.children if (c.alive or c in outdated) and not c.terminating]
    return Steps(delete=tuple(child.ref for child in doomed))


def _next_steps(
    run: EvolutionRun, status: EvolutionRunStatus, family: Family, now: datetime, settings: Settings
) -> tuple[EvolutionRunStatus, Steps]:
    """What the attempt under way needs now: its server, its work, or patience."""
    assert status.stage is not None
    place, attempt = Place(status.round, status.stage), status.attempt
    work, server = (family.find(place, attempt, role) for role in ("work", "server"))
    resting = status.retry_at is not None and now < status.retry_at
    blocking = [c for c in family.children if (c.alive or c.place is None) and c not in (work, server)]
    # A failed attempt's pods may end by themselves, and stay readable, until the next attempt needs their place.
    doomed = [c for c in blocking if not (resting and c.finished)]
    doomed += [c for c in _outdated(family, run, status) if c not in doomed]
    delete = tuple(child.ref for child in doomed if not child.terminating)
    where = _where(run.spec, status)

    def waiting(
        reason: str, message: str, requeue_s: float | None = None, *, trouble: bool = False
    ) -> tuple[EvolutionRunStatus, Steps]:
        return status, Steps(reason, message, trouble, delete=delete, requeue_after_s=requeue_s)

    if work is not None:
        verdict = work.verdict
        if verdict.state == "Terminating":
            return waiting("WaitingForDeletion", f"{where}: waiting for {work.title} to go")
        if verdict.state == "Succeeded" and server is not None:
            if server.terminating:
                return waiting("WaitingForDeletion", f"{where}: waiting for {server.title} to go")
            return status, Steps("StageRunning", where, delete=(*delete, server.ref))
        queued = verdict.state == "Queued"
        started = None if queued else status.stage_started or verdict.started or now
        status = status.model_copy(update={"stage_started": started})
        if server is not None or queued or BY_NAME[place.stage].server(run.spec) is None:
            requeue_s = _until_next(run.spec, status, verdict, family.verdict(place, attempt, "server"), now)
            if queued or verdict.in_trouble(now):
                return waiting(verdict.reason, f"{where}: {verdict.message}", requeue_s, trouble=not queued)
            return waiting("StageRunning", where, requeue_s)
    elif resting and status.retry_at is not None:
        said = condition(status, "Progressing")
        message = said.message if said is not None and said.reason == "Retrying" else f"{where} waits before it starts again"
        return waiting("Retrying", message, (status.retry_at - now).total_seconds())
    if blocking or family.orphans:
        return waiting("WaitingForDeletion", f"{where}: waiting for {named([*blocking, *family.orphans])} to go")

    def make(child: KubeObject, started: datetime | None, beside: Verdict) -> tuple[EvolutionRunStatus, Steps]:
        title = f"{child['kind']} {child['metadata']['name']}"
        if (child["kind"], child["metadata"]["name"]) in family.taken:
            message = f"{title} exists and belongs to another run; waiting for it to go, delete it if nothing else will"
            requeue_s = _until_next(run.spec, status, ABSENT, beside, now)
            return waiting("ChildOfAnotherRun", f"{where}: {message}", requeue_s, trouble=True)
        begun = status.model_copy(update={"stage_started": started, "retry_at": None})
        requeue_s = _until_next(run.spec, begun, ABSENT, beside, now)
        return begun, Steps("StageRunning", where, apply=(child,), delete=delete, requeue_after_s=requeue_s)

    # The clock of a child that is made again starts again; that of work beside its server started with the server.
    attempted = Work(run, place.stage, place.round, attempt, settings)
    if BY_NAME[place.stage].server(run.spec) is None:
        return make(WORK[place.stage].manifest(attempted), None if attempted.queue else now, ABSENT)
    if server is None:
        return make(SERVER.manifest(attempted), now, Verdict("Pending"))
    found = server.verdict
    if found.state == "Terminating":
        return waiting("WaitingForDeletion", f"{where}: waiting for {server.title} to go")
    if found.state == "Queued":
        status = status.model_copy(update={"stage_started": None})
        return waiting("Queued", f"{where}: {found.message}")
    if found.state != "Running":
        status = status.model_copy(update={"stage_started": status.stage_started or now})
        requeue_s = _until_next(run.spec, status, ABSENT, found, now)
        if found.in_trouble(now):
            return waiting(found.reason, f"{where}: {found.message}", requeue_s, trouble=True)
        return waiting("WaitingForServer", f"{where}: the model server is not ready", requeue_s)
    served = replace(attempted, server_url=found.url)
    return make(WORK[place.stage].manifest(served), status.stage_started or now, found)


def _until_next(
    spec: EvolutionRunSpec, status: EvolutionRunStatus, work: Verdict, server: Verdict, now: datetime
) -> float | None:
    """Seconds until time alone changes something: a limit is over, or something is told that might have passed."""
    deadline = _deadline(spec, status, work, server)
    told = [verdict.told_from for verdict in (work, server) if verdict.told_from is not None and verdict.told_from > now]
    soonest = min([*told, *([deadline.at] if deadline is not None else [])], default=None)
    return max((soonest - now).total_seconds(), 0.0) if soonest is not None else None


def _where(spec: EvolutionRunSpec, status: EvolutionRunStatus) -> str:
    """`train of round 2/4`, with the attempt after the first."""
    attempt = f", attempt {status.attempt}" if status.attempt > 1 else ""
    return f"{status.stage} of round {status.round}/{max(spec.rounds, status.round)}{attempt}"


def _was_running(before: EvolutionRunStatus, status: EvolutionRunStatus) -> bool:
    """Whether the stored status already says that this attempt was started."""
    said = condition(before, "Progressing")
    same = (before.round, before.stage, before.attempt) == (status.round, status.stage, status.attempt)
    return same and said is not None and said.status == "True" and said.reason not in NOT_STARTED
