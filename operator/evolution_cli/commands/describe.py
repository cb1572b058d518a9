"""`evolution describe`: everything about one run: its conditions, rounds, pods, events and where things lie."""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evolution_cli.console import (
    DEFAULT_WORKDIR,
    AsJson,
    Context,
    InCluster,
    Namespace,
    RunName,
    Workdir,
    age,
    say,
    say_json,
    told_errors,
)
from evolution_cli.locate import location_of
from evolution_cli.location import Details, happened

if TYPE_CHECKING:
    from evolution_cli.locate import location_of
from evolution_cli.location import KeptRun

MESSAGE_CHARACTERS = 400
MOST_PODS = 8
"""Pods of a child that are named; more are counted."""


def describe(
    run: RunName,
    workdir: Workdir = DEFAULT_WORKDIR,
    cluster: InCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    as_json: AsJson = False,
) -> None:
    """Say how a run stands, what it holds now, and why."""
    with told_errors():
        kept = location_of(workdir, cluster, namespace, context).find(run)
        details = kept.details()
        if as_json:
            document = kept.run.model_dump(mode="json", by_alias=True)
            say_json({**document, "children": details.children, "events": details.events, "notShown": details.hidden})
            return
        for line in lines(kept, details):
            say(line)


def lines(kept: "KeptRun", details: Details) -> list[str]:
    from evolution_api.layout import run_prefix
    from evolution_api.stages import STAGES

    run = kept.run
    status, meta, storage = run.status, run.metadata, run.spec.storage
    stored = f"{storage.uri.rstrip('/')}/{run_prefix(meta.namespace, meta.name, meta.uid)}"
    out = [
        f"Name:      {meta.namespace}/{meta.name}",
        f"Uid:       {meta.uid}",
        f"Phase:     {status.phase}",
        f"Round:     {status.progress}" + (f", {status.stage}" if status.stage else ""),
        f"Attempt:   {status.attempt}",
        f"Model:     {run.spec.model.uri}",
        f"Stored in: {stored}" + (f" (server {storage.endpoint})" if storage.endpoint else ""),
        f"Logs:      {kept.logs}",
    ]
    if status.best is not None:
        best = status.best
        out.append(f"Best:      round {best.round}, {best.metric} {best.value:.3f}, {best.checkpoint}")
    out += ["", "Conditions:"]
    for condition in status.conditions:
        mark = "*" if condition.status == "True" else " "
        out.append(f" {mark} {condition.type}: {condition.status} ({condition.reason}) {condition.message[:MESSAGE_CHARACTERS]}")
    out += ["", "Rounds:"]
    for record in status.rounds:
        times = ", ".join(f"{s.name} {record.seconds[s.name]:.1f} s" for s in STAGES if s.name in record.seconds)
        out.append(f"  {record.round}: {times or 'no stage has ended yet'}")
        if record.proposed:
            out.append(f"     {record.proposed} proposed, {record.executed} executed, {record.accepted} accepted")
            rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(record.rejected.items()))
            out.append(f"     rejected: {rejected or 'none'}")
        if record.easy + record.frontier + record.hard:
            out.append(f"     {record.easy} easy, {record.frontier} frontier, {record.hard} hard")
        means = {"mean confidence": record.mean_confidence, "loss": record.train_loss}
        said = [f"{name} {value:.3f}" for name, value in means.items() if value is not None]
        if said:
            out.append(f"     {', '.join(said)}")
        for name, figure in record.figures.items():
            interval = f"[{figure.low:.3f}, {figure.high:.3f}]"
            out.append(f"     {name} {figure.mean:.3f} {interval} of {figure.questions} questions")
        if record.checkpoint:
            out.append(f"     checkpoint {stored}/{record.checkpoint}")
    out += ["", "Children:"]
    for child in details.children:
        out.append(f"  {child['object']['kind']} {child['object']['metadata']['name']}: {pods_of(child)}")
    if details.events:
        out += ["", "Events:"]
        now = datetime.now(UTC)
        for event in details.events:
            since = age((now - happened(event)).total_seconds())
            out.append(f"  {since:<4} {event['type']:<7} {event['reason']}: {event['message'][:MESSAGE_CHARACTERS]}")
    if details.hidden:
        out += ["", "Not shown:", *(f"  {what}" for what in details.hidden)]
    return out


def pods_of(child: dict[str, Any]) -> str:
    phases = [(pod["metadata"]["name"], pod["status"].get("phase", "Pending")) for pod in child["pods"]]
    if len(phases) > MOST_PODS:
        counts = Counter(phase for _, phase in phases)
        return f"{len(phases)} pods: {', '.join(f'{count} {phase}' for phase, count in sorted(counts.items()))}"
    return ", ".join(f"{name} {phase}" for name, phase in phases) or "no pods"
