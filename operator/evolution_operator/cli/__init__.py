"""The command line `evolution`. `--help` must answer at once: commands import what they need when they run."""


def main() -> None:
    from evolution_operator.cli.app import app

    app()
