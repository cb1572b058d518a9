"""What would make rounds incomparable cannot change while a run lives; the rest can."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.cluster.runs import run
from tests.testbed.api import Api, Object, Refused, address

from evolution_api import crd as contract

SPEC: Object = {
    "model": {"revision": "main"},
    "evaluation": {"stop": {}},
    "storage": {"endpoint": "http://s3"},
    "retry": {"limit": 5},
}

# What is fixed, by the path that the refusal names, and an edit of it that is valid in itself.
FIXED: dict[str, Object] = {
    "seed": {"seed": 1},
    "model.uri": {"model": {"uri": "hf://owner/other"}},
    "model.revision": {"model": {"revision": "v2"}},
    "model.dtype": {"model": {"dtype": "float32"}},
    "model.choices": {"model": {"choices": "text"}},
    "scenes": {"scenes": {"framesPerScene": 31}},
    "generation.proposer": {"generation": {"proposer": {"grammar": {"feedback": False}}}},
    "generation.shards": {"generation": {"shards": 9}},
    "difficulty.signal": {"difficulty": {"signal": "training"}},
    "difficulty.rule": {"difficulty": {"rule": "seeing"}},
    "difficulty.easyAbove": {"difficulty": {"easyAbove": 0.8}},
    "difficulty.hardBelow": {"difficulty": {"hardBelow": 0.2}},
    "training.steps": {"training": {"steps": 101}},
    "training.globalBatchSize": {"training": {"globalBatchSize": 65}},
    "training.learningRate": {"training": {"learningRate": 2e-6}},
    "training.gradientClipping": {"training": {"gradientClipping": 2}},
    "training.select": {"training": {"select": ["hard"]}},
    "evaluation.heldout.scenes": {"evaluation": {"heldout": {"scenes": 51}}},
    "evaluation.heldout.questionsPerKind": {"evaluation": {"heldout": {"questionsPerKind": 101}}},
    "storage.uri": {"storage": {"uri": "s3://bucket/other"}},
}
ONE_CHOICE = {"training.method"}
"""Fixed, but there is nothing to change it to."""

# Edits of the same that come by another way.
SIDEWAYS: dict[str, tuple[str, Object]] = {
    "a field is taken away": ("model.revision", {"model": {"revision": None}}),
    "one source for another": ("scenes", {"scenes": {"procedural": None, "uri": "s3://bucket/scenes"}}),
    "one proposer for another": ("generation.proposer", {"generation": {"proposer": {"grammar": None, "inline": {}}}}),
}

FREE: dict[str, Object] = {
    "rounds": {"rounds": 5},
    "suspend": {"suspend": True},
    "a stop rule that goes": {"evaluation": {"stop": None}},
    "a stop rule that changes": {"evaluation": {"stop": {"patience": 5}}},
    "retries": {"retry": {"limit": 9, "stageTimeoutSeconds": 60}},
    "resources": {"training": {"nodes": 2, "pod": {"resources": {"limits": {"memory": "16Gi"}}}}},
    "how the probe is served": {"probe": {"replicas": 4}},
    "credentials": {"storage": {"endpoint": None, "secretName": "other"}},
    "where pods run": {"scheduling": {"nodeSelector": {"zone": "a"}, "tolerations": [{"key": "gpu"}]}},
    "a group that goes back to its defaults": {"retry": None},
}


def sentence(path: str) -> str:
    return f"spec.{path} cannot change while the run lives: its rounds could not be compared; make a new run"


def transition_rules(schema: Object) -> Iterator[str]:
    """The message of every rule that compares with what was there before."""
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()) if "oldSelf" in rule["rule"])
    for inner in [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]:
        if inner is not None:
            yield from transition_rules(inner)


@pytest.fixture
def living(api: Api, crd: Object, namespace: str) -> str:
    """Path of a run that is there."""
    return address(api.create(run(SPEC, namespace=namespace)))


def test_every_fixed_field_is_tried() -> None:
    (version,) = yaml.safe_load(contract.FILE.read_text())["spec"]["versions"]
    assert set(transition_rules(version["schema"]["openAPIV3Schema"])) == {sentence(path) for path in {*FIXED, *ONE_CHOICE}}


@pytest.mark.parametrize(("path", "edit"), [*FIXED.items(), *SIDEWAYS.values()], ids=[*FIXED, *SIDEWAYS])
def test_an_edit_of_what_is_fixed_is_refused(api: Api, living: str, path: str, edit: Object) -> None:
    with pytest.raises(Refused) as refused:
        api.patch(living, {"spec": edit}, dry_run=True)
    assert sentence(path) in str(refused.value)


def test_a_fixed_field_cannot_come_later(api: Api, crd: Object, namespace: str) -> None:
    living = address(api.create(run(namespace=namespace)))
    with pytest.raises(Refused) as refused:
        api.patch(living, {"spec": {"model": {"revision": "main"}}}, dry_run=True)
    assert sentence("model.revision") in str(refused.value)


@pytest.mark.parametrize("edit", FREE.values(), ids=FREE)
def test_an_edit_of_the_rest_is_taken(api: Api, living: str, edit: Object) -> None:
    before = api.get(living)["spec"]
    after = api.patch(living, {"spec": edit}, dry_run=True)["spec"]
    assert after != before


def test_the_same_file_applied_again_changes_nothing(api: Api, living: str) -> None:
    before = api.get(living)
    namespace = before["metadata"]["namespace"]
    after = api.apply(run(SPEC, namespace=namespace))
    assert (after["metadata"]["generation"], after["spec"]) == (1, before["spec"])


def test_an_edit_raises_the_generation_and_a_status_does_not(api: Api, living: str) -> None:
    assert api.patch(living, {"spec": {"rounds": 6}})["metadata"]["generation"] == 2
    written: dict[str, Any] = api.patch(f"{living}/status", {"status": {"phase": "Running"}, "spec": {"rounds": 7}})
    kept = {"observedGeneration": -1, "phase": "Running"}
    assert (written["metadata"]["generation"], written["spec"]["rounds"], written["status"]) == (2, 6, kept)
    ignored = api.patch(living, {"status": {"phase": "Failed"}})
    assert ignored["status"] == kept
