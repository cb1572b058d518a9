"""What each stage is, written down by hand: order, whose checkpoint, shards, servers; and which stages a round has."""

from typing import Any, get_args

import pytest

from evolution_api.jobs import StageInput
from evolution_api.kinds import StageName
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.stages import BY_NAME, STAGES

SERVED = {"generation": {"proposer": {"serving": {}}, "shards": 5, "maxFailedShards": 2}}
INLINE = {"generation": {"proposer": {"inline": {}}}}


def spec(**groups: Any) -> EvolutionRunSpec:
    needed = {"model": {"uri": "file:///base"}, "scenes": {"uri": "file:///scenes"}, "storage": {"uri": "file:///runs"}}
    return EvolutionRunSpec.model_validate(needed | groups)


def test_every_name_is_a_stage_in_the_order_of_a_round() -> None:
    assert [stage.name for stage in STAGES] == list(get_args(StageName))
    assert [stage.order for stage in STAGES] == list(range(len(STAGES)))


@pytest.mark.parametrize(
    ("stage", "round_", "key"),
    [
        ("prepare", 0, None),
        ("evaluate", 0, None),
        ("generate", 2, None),
        ("probe", 1, None),
        ("probe", 2, "rounds/0001/train/checkpoint"),
        ("train", 1, None),
        ("train", 2, "rounds/0001/train/checkpoint"),
        ("evaluate", 2, "rounds/0002/train/checkpoint"),
        ("cleanup", 0, None),
    ],
)
def test_whose_checkpoint_a_stage_works_with(stage: StageName, round_: int, key: str | None) -> None:
    job = StageInput(namespace="n", run="r", uid="u", stage=stage, round=round_, spec=spec())
    assert job.solver_key == key


def test_servers_shards_and_who_loads_a_model() -> None:
    def of(what: str, spec: EvolutionRunSpec) -> dict[str, Any]:
        return {stage.name: found for stage in STAGES if (found := getattr(stage, what)(spec))}

    assert of("server", spec()) == {"probe": "solver"}
    assert of("server", spec(**SERVED)) == {"generate": "proposer", "probe": "solver"}
    assert of("loads_model", spec()) == {"train": True, "evaluate": True}
    assert of("loads_model", spec(**INLINE)) == {"generate": True, "train": True, "evaluate": True}
    assert of("may_lose", spec(**SERVED)) == {"generate": 2}
    sharded = {stage.name: stage.shards(spec(**SERVED)) for stage in STAGES if stage.shards is not None}
    assert sharded == {"generate": 5, "probe": 5}
    assert [stage.name for stage in STAGES if not stage.of_a_round] == ["cleanup"]


@pytest.mark.parametrize(
    ("groups", "rounds"),
    [
        pytest.param(
            {}, {0: "prepare evaluate", 1: "generate probe train evaluate", 4: "generate probe train evaluate"}, id="plain"
        ),
        pytest.param(
            {"evaluation": {"every": 3}, "difficulty": {"signal": "training"}},
            {0: "prepare evaluate", 1: "generate train", 3: "generate train evaluate", 4: "generate train evaluate"},
            id="every third, and the last",
        ),
    ],
)
def test_the_stages_of_a_round(groups: dict[str, Any], rounds: dict[int, str]) -> None:
    for round_, names in rounds.items():
        assert [stage.name for stage in STAGES if stage.due(spec(**groups), round_)] == names.split()


def test_a_stage_is_found_by_its_name() -> None:
    assert BY_NAME["probe"].starts_from == "last round"
