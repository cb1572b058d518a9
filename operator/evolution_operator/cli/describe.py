"""`evolution describe`: everything about one run: its conditions, rounds, pods and where things lie."""

from typing import TYPE_CHECKING, Any

from evolution_operator.cli.console import DEFAULT_WORKDIR, AsJson, RunName, Workdir, say, say_json, told_errors

if TYPE_CHECKING:
    from evolution_api.run import EvolutionRun
    from evolution_operator.local.folder import RunFolder

MESSAGE_CHARACTERS = 400


def describe(run: RunName, workdir: Workdir = DEFAULT_WORKDIR, as_json: AsJson = False) -> None:
    """Say how a run stands, what it holds now, and why."""
    with told_errors():
        from evolution_operator.local.folder import Workdir as Folder

        place = Folder(workdir).find(run)
        kept = place.load()
        children = list(place.load_children())
        if as_json:
            say_json({**kept.model_dump(mode="json", by_alias=True), "children": children})
            return
        for line in lines(kept, place, children):
            say(line)


def lines(run: "EvolutionRun", place: "RunFolder", children: list[dict[str, Any]]) -> list[str]:
    from evolution_api.layout import run_prefix

    status, meta = run.status, run.metadata
    stored = f"{run.spec.storage.uri}/{run_prefix(meta.namespace, meta.name, meta.uid)}"
    out = [
        f"Name:      {meta.namespace}/{meta.name}",
        f"Uid:       {meta.uid}",
        f"Phase:     {status.phase}",
        f"Round:     {status.progress}" + (f", {status.stage}" if status.stage else ""),
        f"Attempt:   {status.attempt}",
        f"Model:     {run.spec.model.uri}",
        f"Stored in: {stored}",
        f"Logs:      {place.logs}",
    ]
    if status.best is not None:
        out.append(f"Best:      round {status.best.round}, score {status.best.score:.3f}, {status.best.checkpoint}")
    out += ["", "Conditions:"]
    for condition in status.conditions:
        mark = "*" if condition.status == "True" else " "
        out.append(f" {mark} {condition.type}: {condition.status} ({condition.reason}) {condition.message[:MESSAGE_CHARACTERS]}")
    out += ["", "Rounds:"]
    for record in status.rounds:
        times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in record.seconds.items())
        out.append(f"  {record.round}: {times}")
        if record.proposed:
            out.append(f"     {record.proposed} proposed, {record.executed} executed, {record.accepted} accepted")
            rejected = ", ".join(f"{count} {reason}" for reason, count in sorted(record.rejected.items()))
            out.append(f"     rejected: {rejected or 'none'}")
        if record.easy + record.frontier + record.hard:
            out.append(f"     {record.easy} easy, {record.frontier} frontier, {record.hard} hard")
        figures = {
            "mean confidence": record.mean_confidence,
            "loss": record.train_loss,
            "score": record.score,
            "seeing": record.seeing,
            "blind": record.blind,
        }
        said = ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if value is not None)
        if said:
            out.append(f"     {said}")
        if record.checkpoint:
            out.append(f"     checkpoint {stored}/{record.checkpoint}")
    out += ["", "Children:"]
    for child in children:
        pods = ", ".join(f"{pod['metadata']['name']} {pod['status']['phase']}" for pod in child["pods"])
        out.append(f"  {child['object']['kind']} {child['object']['metadata']['name']}: {pods or 'no pods'}")
    return out
