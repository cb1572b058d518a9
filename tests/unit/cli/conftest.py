"""A command line in this process, and a workdir with a run that is half way."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from tests.summaries import figure
from typer.testing import CliRunner

from evolution_api.run.resource import EvolutionRun
from evolution_api.run.status import Best, EvolutionRunStatus, RoundStatus
from evolution_cli.app import app
from evolution_operator.local.folder import Workdir

EXAMPLES = Path(__file__).parents[3] / "examples"

Cli = Callable[..., Result]


@pytest.fixture
def cli() -> Cli:
    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    spec = {
        "model": {"uri": "file:///model"},
        "scenes": {"procedural": {}},
        "generation": {"shards": 1, "parallelism": 1},
        "storage": {"uri": f"file://{tmp_path}/storage"},
    }
    began = datetime.now(UTC) - timedelta(minutes=5)
    status = EvolutionRunStatus(
        phase="Running",
        round=1,
        progress="1/4",
        stage="train",
        rounds=(
            RoundStatus(
                round=0,
                started=began,
                figures={"score": figure(0.5), "seeing": figure(0.1)},
                seconds={"prepare": 3.0, "evaluate": 4.0},
            ),
            RoundStatus(round=1, proposed=9, executed=8, accepted=2, rejected={"blind": 7}, easy=1, frontier=1),
        ),
        accepted=2,
        frontier_percent=50,
        score=0.5,
        best=Best(metric="seeing", value=0.1, round=0, checkpoint="file:///m"),
    )
    run = EvolutionRun.model_validate({"metadata": {"name": "demo", "uid": "u1"}, "spec": spec}).model_copy(
        update={"status": status}
    )
    Workdir(tmp_path).run_folder("default", "demo").save(run)
    return tmp_path
