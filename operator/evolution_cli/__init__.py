"""The command line `evolution`, and the report; on top of both halves.

`--help` must answer at once: commands import what they need when they run.
"""


def main() -> None:
    from evolution_cli.app import app

    app()
