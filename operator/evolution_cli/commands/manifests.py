"""`evolution manifests`: what the operator would apply for a run, stage by stage, before anything is applied."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolution_cli.console import AsJson, say, say_json, told_errors

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun

SERVER_URL = "http://SERVER.NAMESPACE.svc.cluster.local"
"""Stands where KServe's address will."""


def manifests(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file with an EvolutionRun.")],
    round_: Annotated[int, typer.Option("--round", min=1, help="Round whose children are printed; round 0 comes with it.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Print the children of the preparation and of one round as Kubernetes manifests."""
    with told_errors():
        import yaml

        from evolution_cli.runfile import read_run

        objects = children(read_run(file), round_)
        if as_json:
            say_json(objects)
        else:
            say(yaml.safe_dump_all(objects, sort_keys=False))


def children(run: "EvolutionRun", round_: int) -> list[dict[str, Any]]:
    from evolution_api.stages import BY_NAME
    from evolution_operator.interface import Settings
    from evolution_operator.lifecycle.rounds import stages
    from evolution_operator.manifests.catalogue import SERVER, WORK
    from evolution_operator.pod import Work

    objects = []
    for number in (0, round_):
        for stage in stages(run.spec, number):
            served = BY_NAME[stage].server(run.spec) is not None
            work = Work(run, stage, number, 1, Settings(), server_url=SERVER_URL if served else None)
            objects += [builder.manifest(work) for builder in ([SERVER] if served else []) + [WORK[stage]]]
    return objects
