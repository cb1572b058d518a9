"""`evolution questions`: the questions of a run; with --id, one sample from its scene to the checkpoint that it trained."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolution_cli.console import (
    DEFAULT_WORKDIR,
    AsJson,
    Context,
    Endpoint,
    InCluster,
    Namespace,
    RunName,
    Workdir,
    say,
    say_json,
    sentences,
    told_errors,
)
from evolution_cli.locate import location_of

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun
    from evolution_cli.report.collect import Asked, RunData
    from evolution_storage.store import Store

COLUMNS = ("ID", "ROUND", "KIND", "LEVEL", "LABEL", "P", "ANSWER", "QUESTION")


def questions(
    run: RunName,
    workdir: Workdir = DEFAULT_WORKDIR,
    cluster: InCluster = False,
    namespace: Namespace = None,
    context: Context = None,
    endpoint: Endpoint = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="X", help="Follow this one question; its first digits are enough.")
    ] = None,
    round_: Annotated[int | None, typer.Option("--round", min=1, help="Only of this round.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    label: Annotated[str | None, typer.Option(help="Only easy, frontier or hard ones.")] = None,
    as_json: AsJson = False,
) -> None:
    """List a run's questions, or follow one from scene and program through confidence and label to the step that it trained."""
    with told_errors(), sentences(ValueError):
        from evolution_api.kinds import KINDS, LABELS
        from evolution_cli.report.collect import collect
        from evolution_operator.errors import RefusedError

        for option, value, known in (("--kind", kind, KINDS), ("--label", label, LABELS)):
            if value is not None and value not in known:
                raise RefusedError(f"{option} is {value!r}, which is none of {', '.join(known)}")
        kept = location_of(workdir, cluster, namespace, context, endpoint=endpoint).find(run)
        store = kept.store()
        data = collect(kept.run, store)
        if id_ is not None:
            story = follow(kept.run, store, data, id_)
            say_json(story) if as_json else say(told(story))
            return
        rows = [
            row(number, asked)
            for number, asked in all_asked(data)
            if round_ in (None, number)
            and kind in (None, asked.question.kind)
            and (label is None or (asked.probe is not None and asked.probe.label == label))
        ]
        if as_json:
            say_json(rows)
        else:
            say("\t".join(COLUMNS))
            for found in rows:
                say("\t".join("" if value is None else str(value) for value in found.values()))


def all_asked(data: "RunData") -> list[tuple[int, "Asked"]]:
    return [(each.round, asked) for each in data.rounds for asked in each.asked]


def row(number: int, asked: "Asked") -> dict[str, Any]:
    question, probe = asked.question, asked.probe
    return {
        "id": question.id,
        "round": number,
        "kind": question.kind,
        "level": question.level,
        "label": probe.label if probe else None,
        "confidence": round(probe.confidence, 3) if probe else None,
        "answer": question.answer,
        "text": question.text,
    }


def follow(run: "EvolutionRun", store: "Store", data: "RunData", id_: str) -> dict[str, Any]:
    """Everything that is known of one question, in the order in which it happened. Raises RefusedError."""
    from evolution_api.layout import checkpoint_prefix
    from evolution_operator.errors import RefusedError

    found = [(number, asked) for number, asked in all_asked(data) if asked.question.id.startswith(id_)]
    if len(found) != 1:
        which = f"{len(found)} questions begin so; give more digits" if found else "list them with `evolution questions RUN`"
        raise RefusedError(f"--id {id_}: {which if found else 'no accepted question of that run begins so; ' + which}")
    number, asked = found[0]
    question, probe = asked.question, asked.probe
    trained = next((each.steps for each in data.rounds if each.round == number), [])
    losses = {step.step: step.loss for step in trained}
    return {
        "question": question.model_dump(mode="json"),
        "scene": f"{data.plan.root_uri}/{question.scene}/scene.json" if data.plan else question.scene,
        "prompt": prompt_of(run, store, number, question.prompt_sha256),
        "asked_of": f"round {number - 1}'s checkpoint, {checkpoint_prefix(number - 1)}" if number > 1 else run.spec.model.uri,
        "probe": probe.model_dump(mode="json") if probe else None,
        "trained_in_steps": [{"step": step, "loss": losses.get(step)} for step in asked.steps],
        "checkpoint": checkpoint_prefix(number) if asked.steps else None,
    }


def prompt_of(run: "EvolutionRun", store: "Store", round_: int, sha256: str | None) -> str | None:
    """The prompt that a model was given, from the shards' own files; None where no model proposed."""
    from evolution_api.layout import manifest_key, part
    from evolution_storage.manifests import committed, read_file

    if sha256 is None:
        return None
    for shard in range(run.spec.generation.shards):
        manifest = committed(store, run.metadata.uid, manifest_key(round_, "generate", shard))
        key = f"{part(round_, 'generate', shard)}.prompts.jsonl"
        if manifest is None or key not in {file.path for file in manifest.files}:
            continue
        for line in read_file(store, manifest, key).decode().splitlines():
            entry = json.loads(line)
            if entry["sha256"] == sha256:
                return str(entry["prompt"])
    return None


def told(story: dict[str, Any]) -> str:
    question, probe = story["question"], story["probe"]
    lines = [
        f"Question   {question['id']} ({question['kind']}, level {question['level']}), round {question['round']}",
        f"           {question['text']}",
    ]
    if question["options"]:
        lines.append(f"           {' / '.join(question['options'])}")
    lines += [
        f"Scene      {story['scene']}",
        f"Proposer   {question['proposer']}",
    ]
    if story["prompt"]:
        lines += ["Prompt     " + story["prompt"].replace("\n", "\n           ")]
    lines += [
        "Program    " + question["program"].strip().replace("\n", "\n           "),
        f"Answer     {question['answer']}" + (f" {question['unit']}" if question["unit"] else ""),
        f"Asked of   {story['asked_of']}",
    ]
    if probe:
        elsewhere = probe["confidence_elsewhere"]
        aside = "" if elsewhere is None else f"; with another scene's frames {elsewhere:.3f}"
        lines += [f"Confidence {probe['confidence']:.3f}{aside}", f"Label      {probe['label']}"]
    else:
        lines.append("Label      not probed")
    steps = ", ".join(f"{step['step']} (loss {step['loss']:.3f})" for step in story["trained_in_steps"])
    lines.append(f"Trained in {'step ' + steps if steps else 'no step'}")
    if story["checkpoint"]:
        lines.append(f"Checkpoint {story['checkpoint']}")
    return "\n".join(lines)
