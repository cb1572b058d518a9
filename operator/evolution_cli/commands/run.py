"""`evolution run`: carry a run through on this machine, or go on with it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evolution_cli.console import DEFAULT_WORKDIR, EXIT_FAILED, EXIT_INTERRUPTED, Workdir, say, told_errors

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun
    from evolution_operator.local.folder import RunFolder
    from evolution_operator.local.folder import Workdir as Folder
    from evolution_operator.local.loop import Watcher

SUSPEND_POLL_S = 0.1


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with an EvolutionRun.")],
    workdir: Workdir = DEFAULT_WORKDIR,
    suspend: Annotated[bool, typer.Option("--suspend", help="Stop the run's programs and keep what is committed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happens as JSON lines.")] = False,
) -> None:
    """Run the loop on this machine; the same command again goes on from what is committed."""
    with told_errors():
        from evolution_cli.runfile import read_run
        from evolution_operator.local.admission import admitted
        from evolution_operator.local.folder import Workdir as Folder
        from evolution_operator.local.runfile import refuse_what_needs_a_cluster, resolve

        folder = Folder(workdir)
        wanted = resolve(read_run(file), file_folder=file.parent, workdir=folder.path)
        if suspend:
            wanted = wanted.model_copy(update={"spec": wanted.spec.model_copy(update={"suspend": True})})
        refuse_what_needs_a_cluster(wanted.spec)
        place = folder.run_folder(wanted.metadata.namespace, wanted.metadata.name)
        if suspend and folder.holder() is not None:
            ask_to_suspend(folder, place)
            return
        with folder.lock():
            carry_through(admitted(wanted, place), place, folder, as_json=as_json)


def ask_to_suspend(folder: "Folder", place: "RunFolder") -> None:
    """Signal the loop that works on the run, and wait until it has let go of the folder."""
    import os
    import time

    from evolution_operator.local.loop import SUSPEND_SIGNAL

    pid = folder.holder()
    if pid is None:
        return
    os.kill(pid, SUSPEND_SIGNAL)
    while folder.holder() == pid:
        time.sleep(SUSPEND_POLL_S)
    say(f"{place.path.name} is {place.load().status.phase.lower()}")


def carry_through(run: "EvolutionRun", place: "RunFolder", folder: "Folder", *, as_json: bool) -> None:
    """Run the loop in a folder that is locked, and end with an exit code that says how the run ended."""
    from evolution_operator.interface import Settings
    from evolution_operator.local.cluster import LocalCluster
    from evolution_operator.local.devices import Devices, visible_gpus
    from evolution_operator.local.loop import Loop
    from evolution_operator.local.pods import Node
    from evolution_operator.local.programs import Programs, server_environment

    killed = folder.kill_leftovers()
    programs = Programs(server_environment(run.spec, folder.path), place.logs / "forkserver.log")
    node = Node(place, folder.path, programs, Devices(visible_gpus()))
    with watcher(as_json, place) as watching:
        if killed:
            watching.note(f"ended {killed} processes that an earlier start left behind")
        last = Loop(run, place, LocalCluster(node), Settings(), watching).turn()
    if as_json:
        say(last.model_dump_json(by_alias=True, exclude={"spec"}))
    phase = last.status.phase
    if phase == "Failed":
        (why,) = [c.message for c in last.status.conditions if c.type == "Failed"]
        typer.echo(f"error: {last.metadata.name} failed: {why}; here: evolution resume {last.metadata.name}", err=True)
        sys.exit(EXIT_FAILED)
    if phase not in ("Succeeded", "Suspended"):
        typer.echo(f"stopped in round {last.status.progress}; the same command goes on from there", err=True)
        sys.exit(EXIT_INTERRUPTED)


def watcher(as_json: bool, place: "RunFolder") -> "Watcher":
    """Whoever shows the run: JSON lines, a live picture on a terminal, plain lines elsewhere."""
    if as_json:
        from evolution_cli.watching import JsonWatcher

        return JsonWatcher()
    if sys.stdout.isatty():
        from evolution_cli.picture import Picture

        return Picture(place)
    from evolution_cli.watching import PlainWatcher

    return PlainWatcher(place)
