"""A small run of two rounds, written through the real storage, for the report to read."""

from pathlib import Path

import pytest
from tests import finished

from evolution_api.run.resource import EvolutionRun
from evolution_storage.store import Store


@pytest.fixture
def finished_run(tmp_path: Path) -> tuple[EvolutionRun, Store]:
    run = finished.finished_run({"uri": f"file://{tmp_path}/storage"})
    return run, finished.write_objects(run)
