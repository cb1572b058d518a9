"""The command `evolution` and its subcommands, one module each."""

import typer

from evolution_cli.commands import audit, describe, get, manifests, prepare, questions, report, resume, run, validate

app = typer.Typer(
    name="evolution",
    help="Train a multimodal model to reason about space in a closed loop of questions, confidence and training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (run, resume, validate, get, describe, questions, report, manifests, audit):
    app.command()(getattr(command, command.__name__.rpartition(".")[2]))
app.add_typer(prepare.app, name="prepare")
