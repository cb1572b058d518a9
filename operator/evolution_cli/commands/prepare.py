"""`evolution prepare`: make scenes outside any run, for `scenes.uri`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evolution_cli.console import say, sentences, told_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evolution_jobs.scenes.prepare import Progress

app = typer.Typer(help="Make prepared scenes in a folder that scenes.uri can name.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", help="Folder for the scenes; scenes that are there and whole are left alone.")]
Frames = Annotated[int, typer.Option(min=1, max=256, help="Frames of a scene.")]
Width = Annotated[int, typer.Option(min=16, max=1920, help="Width of a frame, pixels.")]
Height = Annotated[int, typer.Option(min=16, max=1440, help="Height of a frame, pixels.")]


@app.command()
def procedural(
    out: Out,
    rooms: Annotated[int, typer.Option(min=2, help="How many rooms.")] = 96,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
    frames: Frames = 32,
    width: Width = 320,
    height: Height = 240,
    objects_min: Annotated[int, typer.Option(min=1, max=40, help="Fewest objects in a room.")] = 4,
    objects_max: Annotated[int, typer.Option(min=1, max=40, help="Most objects in a room.")] = 8,
) -> None:
    """Furnish rooms by seed and draw them by ray casting."""
    with told_errors(), sentences(ValueError):
        from evolution_api.run.scenes import Procedural
        from evolution_jobs.scenes.prepare import prepare_procedural

        spec = Procedural(rooms=rooms, objects_min=objects_min, objects_max=objects_max, width=width, height=height)
        with bar("rooms") as progress:
            made, _ = prepare_procedural(uri(out), spec, seed, frames, progress=progress)
        say(f"{len(made)} rooms in {out}; use them with scenes.uri: {uri(out)}")


@app.command()
def vsibench(
    metadata: Annotated[Path, typer.Argument(help="Official metadata: a JSON file, or a folder of such files.")],
    out: Out,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first so many scenes, by name.")] = None,
    render: Annotated[
        Literal["layout", "none"], typer.Option(help="Draw each room's layout, or leave the scenes without frames.")
    ] = "layout",
    frames: Frames = 32,
    width: Width = 320,
    height: Height = 240,
) -> None:
    """Turn VSI-Bench's metadata of real rooms into scenes; training refuses such benchmark scenes unless told otherwise."""
    with told_errors(), sentences(ValueError):
        from evolution_jobs.scenes.prepare import prepare_vsibench

        drawn: Literal["layout"] | None = "layout" if render == "layout" else None
        with bar("rooms") as progress:
            made = prepare_vsibench(
                metadata, uri(out), limit=limit, frames=frames, width=width, height=height, render=drawn, progress=progress
            )
        say(f"{len(made)} rooms in {out}; use them with scenes.uri: {uri(out)} and scenes.allowBenchmarkScenes: true")


@contextlib.contextmanager
def bar(unit: str) -> "Iterator[Progress]":
    """A bar with the time left, on a terminal only."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not sys.stdout.isatty()) as shown:
        task = shown.add_task(unit, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def uri(folder: Path) -> str:
    return f"file://{folder.absolute()}"
