"""A run in a folder, with questions already asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evolution_api.jobs import StageInput
from evolution_api.kinds import StageName
from evolution_api.run.spec import EvolutionRunSpec


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., StageInput]:
    """A stage of round 1 of a run whose storage is `tmp_path`; keywords are fields of the spec."""

    def make(stage: StageName = "train", round_: int = 1, **fields: Any) -> StageInput:
        spec = EvolutionRunSpec.model_validate(
            {
                "model": {"uri": "file:///base"},
                "scenes": {"procedural": {}},
                "storage": {"uri": tmp_path.as_uri()},
                "generation": {"shards": 3, "parallelism": 1},
                "training": {"global_batch_size": 8, "nodes": 1, "processes_per_node": 2},
                **fields,
            }
        )
        return StageInput(namespace="default", run="trial", uid="1234", stage=stage, round=round_, spec=spec)

    return make
