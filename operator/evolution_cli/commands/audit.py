"""`evolution audit`: recompute the answers of a question file in VSI-Bench's format, and show where they differ."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evolution_cli.console import AsJson, say, say_json, sentences, told_errors

if TYPE_CHECKING:
    from evolution_api.scene import Scene

COLUMNS = "dataset, scene_name, question_type, question, options, ground_truth"


def audit(
    questions: Annotated[Path, typer.Option("--questions", help=f"JSON lines with {COLUMNS}.")],
    scenes: Annotated[Path, typer.Option("--scenes", help="Prepared scenes, or the official metadata (a file or a folder).")],
    as_json: AsJson = False,
    distance: Annotated[
        Literal["vsi", "exact"],
        typer.Option(help="Distance between objects: as VSI-Bench measured it, or between the boxes exactly."),
    ] = "vsi",
) -> None:
    """Recompute answers by our programs; print agreement per type and every disagreement with its reason."""
    with told_errors(), sentences(ValueError):
        from evolution_jobs.questions.audit import audit as recompute

        report = recompute(questions, read_scenes(scenes), distance=distance)
        if as_json:
            say_json(report.as_json())
            return
        for d in report.disagreements:
            ours = "no answer" if d.ours is None else f"ours {d.ours}"
            say(f"line {d.line}, {d.scene}, {d.question_type}: official {d.official}, {ours}: {d.reason}")
            say(f"    {d.question}")
        say(f"{'TYPE':<28}{'ASKED':>8}{'ANSWERED':>10}{'AGREED':>8}{'MRA':>8}")
        for name, found in sorted(report.types.items()):
            mra = "" if found.mra is None else f"{found.mra:.3f}"
            say(f"{name:<28}{found.asked:>8}{found.answered:>10}{found.agreed:>8}{mra:>8}")


def read_scenes(path: Path) -> "Mapping[str, Scene]":
    """Scenes by id, from a folder of prepared ones or from official metadata. Raises SceneError."""
    from evolution_jobs.scenes.library import SceneLibrary
    from evolution_jobs.scenes.vsibench import scenes_from_metadata

    if path.is_dir() and any(path.glob("*/scene.json")):
        library = SceneLibrary(f"file://{path.absolute()}")
        return {scene_id: library.scene(scene_id) for scene_id in library.ids()}
    return scenes_from_metadata(path)
