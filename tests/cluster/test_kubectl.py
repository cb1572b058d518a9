"""What a person sees of a run by kubectl alone."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import yaml
from tests.cluster.runs import run
from tests.summaries import figure
from tests.testbed.api import Api, Object, address
from tests.testbed.tools.daemon import eventually

from evolution_api.run.resource import EvolutionRun
from evolution_api.run.status import Best, Condition, EvolutionRunStatus, RoundStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def status(condition: str) -> EvolutionRunStatus:
    """A status with something in every field."""
    record = RoundStatus(
        round=2,
        proposed=10,
        executed=9,
        accepted=6,
        rejected={"blind": 3},
        easy=1,
        frontier=3,
        hard=2,
        mean_confidence=0.5,
        train_loss=1.25,
        figures={"score": figure(0.5), "seeing.object_counting": figure(0.25)},
        checkpoint="rounds/0002/train/checkpoint",
        seconds={"train": 12.5},
        started=NOON,
        finished=NOON,
    )
    return EvolutionRunStatus(
        observed_generation=1,
        phase="Running",
        round=2,
        progress="2/4",
        stage="train",
        attempt=2,
        first_attempt=1,
        stage_started=NOON,
        retry_at=NOON,
        resumed="1",
        conditions=tuple(
            Condition(
                type=type_,
                status="True" if type_ == condition else "False",
                reason="BecauseSo",
                message="in words",
                last_transition_time=NOON,
                observed_generation=1,
            )
            for type_ in ("Progressing", "Succeeded", "Failed")
        ),
        rounds=(RoundStatus(round=0), RoundStatus(round=1), record),
        best=Best(metric="seeing", value=0.25, round=2, checkpoint="rounds/0002/train/checkpoint"),
        accepted=12,
        frontier_percent=50,
        score=0.5,
    )


@pytest.fixture
def living(api: Api, crd: Object, namespace: str) -> str:
    """Path of a run named x."""
    return address(api.create(run(namespace=namespace)))


def write(api: Api, path: str, new: EvolutionRunStatus) -> Object:
    return api.patch(f"{path}/status", {"status": new.model_dump(mode="json", by_alias=True, exclude_none=True)})


def test_a_whole_status_is_kept_as_it_was_written(api: Api, living: str) -> None:
    written = status("Progressing")
    write(api, living, written)
    assert EvolutionRun.model_validate(api.get(living)).status == written


def test_the_columns_are_those_that_people_ask_for(api: Api, living: str, namespace: str) -> None:
    write(api, living, status("Progressing"))
    header, line = api.kubectl("get", "evo", namespace=namespace).splitlines()
    assert header.split() == ["NAME", "PHASE", "ROUND", "STAGE", "ACCEPTED", "FRONTIER", "SCORE", "BEST", "AGE"]
    assert line.split()[:-1] == ["x", "Running", "2/4", "train", "12", "50", "0.5", "0.25"]


@pytest.mark.parametrize("name", ["evo/x", "evolutionrun/x", "evolutionruns.evolution.spatial.io/x", "ml", "all"])
def test_a_run_is_found_by_its_names_and_categories(api: Api, living: str, namespace: str, name: str) -> None:
    assert "evolutionrun.evolution.spatial.io/x" in api.kubectl("get", name, "-o", "name", namespace=namespace).split()


def test_success_can_be_waited_for(api: Api, living: str, namespace: str) -> None:
    wait = partial(api.kubectl, "wait", "--for=condition=Succeeded", "evo/x", namespace=namespace)
    write(api, living, status("Progressing"))
    with pytest.raises(AssertionError, match="timed out waiting"):
        wait("--timeout=1s")
    write(api, living, status("Succeeded"))
    assert "condition met" in wait("--timeout=30s")


def test_a_misspelt_field_is_refused_by_kubectl_apply(api: Api, crd: Object, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(run({"training": {"step": 3}}, namespace=namespace)))
    with pytest.raises(AssertionError, match=r'unknown field "spec.training.step"'):
        api.kubectl("apply", "-f", str(file), namespace=namespace)


def groups(schema: Object, path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every mapping with fields of its own, and the text of each of its fields."""
    fields = schema.get("properties", {})
    if fields:
        yield path, {name: field["description"] for name, field in fields.items()}
    for name, field in fields.items():
        yield from groups(field.get("items", field), f"{path}.{name}")


def test_every_field_is_explained(api: Api, crd: Object) -> None:
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    explain = partial(api.kubectl, "explain")

    def published() -> bool:
        try:
            return "rounds" in explain("evolutionruns.spec")
        except AssertionError:
            return False

    eventually(published, "the API server tells the schema")
    silent = [
        f"{path}.{name}"
        for part in ("spec", "status")
        for path, texts in groups(schema[part], f"evolutionruns.{part}")
        for told in [" ".join(explain(path).split())]
        for name, text in texts.items()
        if " ".join(text.split()) not in told
    ]
    assert silent == []
