"""Every rule of the contract against the API server: a bad run is refused with the sentence that one machine says too."""

from pathlib import Path

import pytest
import yaml
from tests.cluster.runs import run
from tests.testbed.api import Api, Object, Refused

from evolution_api.explain import explain
from evolution_api.run.resource import EvolutionRun
from evolution_api.run.rules import Rule, Ruled
from evolution_api.run.spec import EvolutionRunSpec

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))

# The beginning of a rule's message, and a run that breaks it.
BAD: dict[str, Object] = {
    "variables whose names start with EVOLUTION_": {"probe": {"pod": {"env": [{"name": "EVOLUTION_INPUT", "value": "x"}]}}},
    "resources.requests and resources.limits": {"training": {"pod": {"resources": {"limits": {"nvidia.com/gpu": "8"}}}}},
    "resources.requests must not exceed": {
        "probe": {"pod": {"resources": {"requests": {"memory": "1025Mi"}, "limits": {"memory": "1Gi"}}}}
    },
    "pod.env names a variable twice": {"evaluation": {"pod": {"env": [{"name": "A", "value": v} for v in "xy"]}}},
    "scenes.procedural.objectsMin must not exceed": {"scenes": {"procedural": {"objectsMin": 7, "objectsMax": 6}}},
    "scenes needs exactly one of uri": {"scenes": {"uri": "s3://bucket/scenes"}},
    "generation.proposer needs exactly one": {"generation": {"proposer": {"grammar": {}, "inline": {}}}},
    "generation.maxFailedShards must be below": {"generation": {"shards": 2, "maxFailedShards": 2}},
    "generation.kinds names a kind twice": {"generation": {"kinds": ["object_counting", "object_counting"]}},
    "difficulty.hardBelow must be below": {"difficulty": {"hardBelow": 0.9}},
    "difficulty.rule seeing asks every question": {"difficulty": {"signal": "training", "rule": "seeing"}},
    "training.globalBatchSize must be at least": {"training": {"nodes": 3, "processesPerNode": 4, "globalBatchSize": 11}},
    "training.select names a label twice": {"training": {"select": ["easy", "easy"]}},
    "training.deepspeed.offloadParameters needs": {"training": {"deepspeed": {"zeroStage": 2, "offloadParameters": True}}},
    "training.deepspeed.offloadOptimizer needs": {"training": {"deepspeed": {"zeroStage": 0, "offloadOptimizer": True}}},
    "a toleration without a key needs": {"scheduling": {"tolerations": [{"value": "a"}]}},
    "a toleration with operator Exists has": {"scheduling": {"tolerations": [{"key": "a", "value": "b", "operator": "Exists"}]}},
    "scheduling.nodeSelector has a key": {"scheduling": {"nodeSelector": {"a/b/c": "d"}}},
    "retry.backoffSeconds must not exceed": {"retry": {"backoffSeconds": 601}},
    "training.select cannot leave labels out": {"difficulty": {"signal": "training"}, "training": {"select": ["hard"]}},
    "scenes.procedural.rooms must be above": {"scenes": {"procedural": {"rooms": 50}}},
    "scenes.limit must be above": {"scenes": {"limit": 50}},
    "evaluation.metric names a kind": {
        "evaluation": {"metric": "seeing.camera_motion"},
        "generation": {"kinds": ["object_counting"]},
    },
}
# The nearest run that keeps it, where that is a question of one more or less.
GOOD: dict[str, Object] = {
    "evaluation.metric names a kind": {
        "evaluation": {"metric": "seeing.object_counting"},
        "generation": {"kinds": ["object_counting"]},
    },
    "resources.requests must not exceed": {
        "probe": {"pod": {"resources": {"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}}}}
    },
    "a toleration without a key needs": {"scheduling": {"tolerations": [{"operator": "Exists"}]}},
    "scheduling.nodeSelector has a key": {"scheduling": {"nodeSelector": {"a.b/C_d": "e"}}},
    "scenes.procedural.objectsMin must not exceed": {"scenes": {"procedural": {"objectsMin": 6, "objectsMax": 6}}},
    "generation.maxFailedShards must be below": {"generation": {"shards": 2, "maxFailedShards": 1}},
    "difficulty.hardBelow must be below": {"difficulty": {"hardBelow": 0.89}},
    "training.globalBatchSize must be at least": {"training": {"nodes": 3, "processesPerNode": 4, "globalBatchSize": 12}},
    "training.deepspeed.offloadParameters needs": {"training": {"deepspeed": {"zeroStage": 3, "offloadParameters": True}}},
    "training.deepspeed.offloadOptimizer needs": {"training": {"deepspeed": {"zeroStage": 1, "offloadOptimizer": True}}},
    "retry.backoffSeconds must not exceed": {"retry": {"backoffSeconds": 600}},
    "training.select cannot leave labels out": {
        "difficulty": {"signal": "training"},
        "training": {"select": ["hard", "easy", "frontier"]},
    },
    "scenes.procedural.rooms must be above": {"scenes": {"procedural": {"rooms": 51}}},
    "scenes.limit must be above": {"scenes": {"limit": 51}},
}


def rules_of(cls: type[Ruled]) -> list[Rule]:
    return [*cls.rules, *(rule for child in cls.__subclasses__() for rule in rules_of(child))]


RULES = rules_of(Ruled)


def test_every_rule_is_tried() -> None:
    messages = [rule.message for rule in RULES]
    tried = [[m for m in messages if m.startswith(words)] for words in BAD]
    assert sorted(tried) == sorted([m] for m in messages), "one case a rule"


@pytest.mark.parametrize("words", BAD)
def test_a_run_that_breaks_a_rule_is_refused_with_its_sentence(api: Api, crd: Object, words: str) -> None:
    (message,) = [rule.message for rule in RULES if rule.message.startswith(words)]
    bad = run(BAD[words])
    with pytest.raises(Refused) as refused:
        api.create(bad, dry_run=True)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    assert message in str(refused.value)
    (said,) = explain(bad)
    assert message in said, "one machine says another thing"


@pytest.mark.parametrize("words", GOOD)
def test_a_run_that_just_keeps_a_rule_is_taken(api: Api, crd: Object, words: str) -> None:
    good = run(GOOD[words])
    assert isinstance(explain(good), EvolutionRun)
    api.create(good, dry_run=True)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_taken(api: Api, crd: Object, file: Path) -> None:
    example = yaml.safe_load(file.read_text())
    example["metadata"]["namespace"] = "default"
    api.apply(example, dry_run=True)


DEFAULTED: dict[str, Object] = {
    "only what has no default": {},
    "an endpoint": {"generation": {"proposer": {"endpoint": {"url": "https://models.example/v1", "model": "m"}}}},
    "a model in the pod": {"generation": {"proposer": {"inline": {}}}},
    "a served model": {"generation": {"proposer": {"serving": {}}}},
    "prepared scenes": {"scenes": {"procedural": None, "uri": "s3://bucket/scenes"}},
    "a stop rule": {"evaluation": {"stop": {}}},
    "a toleration": {"scheduling": {"tolerations": [{"key": "gpu"}]}},
    "a group begun": {"training": {"steps": 7}, "retry": {"limit": 1}, "probe": {"pod": {"image": "a"}}},
}


@pytest.mark.parametrize("spec", DEFAULTED.values(), ids=DEFAULTED)
def test_the_server_fills_the_defaults_that_the_models_fill(api: Api, crd: Object, spec: Object) -> None:
    written = run(spec)
    filled = api.create(written, dry_run=True)["spec"]
    assert filled == EvolutionRunSpec.model_validate(written["spec"]).model_dump(mode="json", by_alias=True, exclude_none=True)


@pytest.mark.parametrize(
    ("spec", "where"),
    [
        ({"traning": {}}, "spec.traning"),
        ({"training": {"learning_rate": 1e-4}}, "spec.training.learning_rate"),
        ({"probe": {"pod": {"env": [{"name": "A", "value": "b", "valueFrom": {}}]}}}, "spec.probe.pod.env[0].valueFrom"),
    ],
)
def test_a_field_that_does_not_exist_is_refused(api: Api, crd: Object, spec: Object, where: str) -> None:
    with pytest.raises(Refused, match="unknown field") as refused:
        api.create(run(spec), dry_run=True)
    assert f'unknown field "{where}"' in str(refused.value)
