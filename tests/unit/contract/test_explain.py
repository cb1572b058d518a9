"""What a person reads about a run that cannot be."""

from typing import Any

import pytest

from evolution_api.explain import explain
from evolution_api.run.resource import EvolutionRun

SPEC: dict[str, Any] = {
    "model": {"uri": "hf://owner/name"},
    "scenes": {"procedural": {}},
    "storage": {"uri": "s3://bucket/prefix"},
}


def document(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "evolution.spatial.io/v1alpha1",
        "kind": "EvolutionRun",
        "metadata": {"name": "x"},
        "spec": SPEC | spec,
    }


def test_a_valid_document_is_the_run():
    run = explain(document(rounds=3))
    assert isinstance(run, EvolutionRun)
    assert run.spec.rounds == 3


REFUSED = {
    "a misspelt group": (document(traning={}), "spec.traning = {}: there is no such field; did you mean training?"),
    "a misspelt field": (
        document(training={"step": 3}),
        "spec.training.step = 3: there is no such field; did you mean steps?",
    ),
    "Python's spelling": (
        document(training={"learning_rate": 1e-4}),
        "spec.training.learning_rate = 0.0001: there is no such field; did you mean learningRate?",
    ),
    "a field like no other": (
        document(evaluation={"zzz": 1}),
        "spec.evaluation.zzz = 1: there is no such field; known here: every, heldout, metric, stop, pod",
    ),
    "below a bound": (
        document(training={"steps": 0}),
        "spec.training.steps = 0: must be at least 1; raise it (Optimiser steps a round)",
    ),
    "above a bound": (
        document(difficulty={"easyAbove": 1.5}),
        "spec.difficulty.easyAbove = 1.5: must be at most 1.0; lower it (Confidence above which a question is easy)",
    ),
    "at an open bound": (
        document(training={"learningRate": 0}),
        "spec.training.learningRate = 0: must be above 0.0; raise it (Constant, without warm-up)",
    ),
    "text for a number": (
        document(seed="4"),
        'spec.seed = "4": is no whole number; give one (Everything random follows from it)',
    ),
    "a fraction": (
        document(training={"steps": 1.5}),
        "spec.training.steps = 1.5: is no whole number; give one (Optimiser steps a round)",
    ),
    "no such choice": (
        document(difficulty={"rule": "papr"}),
        "spec.difficulty.rule = \"papr\": must be 'paper' or 'seeing'; did you mean paper?",
    ),
    "a scheme that is unknown": (
        document(storage={"uri": "/data"}),
        'spec.storage.uri = "/data": does not have the form ^(s3|file)://.+; correct it '
        "(Where everything is kept: s3://bucket/prefix, or file:///folder)",
    ),
    "missing": (
        document(storage={}),
        "spec.storage.uri: is missing; add it (Where everything is kept: s3://bucket/prefix, or file:///folder)",
    ),
    "a list's entry": (
        document(generation={"pod": {"env": [{"name": "1x", "value": "y"}]}}),
        'spec.generation.pod.env[0].name = "1x": does not have the form ^[A-Za-z_][A-Za-z0-9_]*$; correct it '
        "(Name of the variable; names that start with EVOLUTION_ are the operator's)",
    ),
    "the operator's variable": (
        document(generation={"pod": {"env": [{"name": "EVOLUTION_INPUT", "value": "y"}]}}),
        "spec.generation.pod.env[0]: variables whose names start with EVOLUTION_ are the operator's own; choose another name",
    ),
    "an accelerator by hand": (
        document(training={"pod": {"resources": {"limits": {"nvidia.com/gpu": "8"}}}}),
        "spec.training.pod.resources: resources.requests and resources.limits take only cpu, memory and ephemeral-storage: "
        "accelerators follow from scheduling.accelerator and the number of processes; leave the others out",
    ),
    "two sources of scenes": (
        document(scenes={"uri": "file:///s", "procedural": {}}),
        "spec.scenes: scenes needs exactly one of uri (prepared scenes) and procedural (rooms made by the run); set one",
    ),
    "two proposers": (
        document(generation={"proposer": {"grammar": {}, "inline": {}}}),
        "spec.generation.proposer: generation.proposer needs exactly one of grammar, endpoint, inline and serving; set one",
    ),
    "seeing without a probe": (
        document(difficulty={"rule": "seeing", "signal": "training"}),
        "spec.difficulty: difficulty.rule seeing asks every question a second time with other frames, which training does not "
        "do; use signal: probe, or rule: paper",
    ),
    "nothing is frontier": (
        document(difficulty={"hardBelow": 0.95}),
        "spec.difficulty: difficulty.hardBelow must be below difficulty.easyAbove, or nothing is frontier; "
        "the paper uses 0.1 and 0.9",
    ),
    "every shard may fail": (
        document(generation={"shards": 2, "maxFailedShards": 2}),
        "spec.generation: generation.maxFailedShards must be below generation.shards: a stage without any shard "
        "has no questions; lower it",
    ),
    "a kind named twice": (
        document(generation={"kinds": ["object_counting", "object_counting"]}),
        "spec.generation: generation.kinds names a kind twice, and its held-out questions would count twice; name each once",
    ),
    "fewest objects above most": (
        document(scenes={"procedural": {"objectsMin": 7, "objectsMax": 6}}),
        "spec.scenes.procedural: scenes.procedural.objectsMin must not exceed scenes.procedural.objectsMax; raise the latter",
    ),
    "a label named twice": (
        document(training={"select": ["easy", "easy", "easy"]}),
        "spec.training: training.select names a label twice; name each once",
    ),
    "labels left out that nobody knows": (
        document(difficulty={"signal": "training"}, training={"select": ["hard"]}),
        "spec: training.select cannot leave labels out with difficulty.signal training: the labels are only known after that "
        "training; use signal: probe, or select all labels",
    ),
    "no room to train on": (
        document(scenes={"procedural": {"rooms": 100}}, evaluation={"heldout": {"scenes": 100}}),
        "spec: scenes.procedural.rooms must be above evaluation.heldout.scenes, which are among them, or no room is left to "
        "train on; raise the former",
    ),
    "no scene to train on": (
        document(scenes={"uri": "file:///s", "limit": 100}, evaluation={"heldout": {"scenes": 100}}),
        "spec: scenes.limit must be above evaluation.heldout.scenes, which are among them, or no scene is left to train on; "
        "raise the former",
    ),
    "no mapping at all": ([], "the document = []: is no mapping; write its fields below it"),
}


@pytest.mark.parametrize(("given", "said"), REFUSED.values(), ids=REFUSED)
def test_a_fault_is_told_with_field_value_why_and_what_to_do(given, said):
    assert explain(given) == [said]


def test_every_fault_is_told_at_once():
    said = explain(document(rounds=0, traning={}, model={}))
    assert [sentence.split(":")[0].split(" ")[0] for sentence in said] == ["spec.rounds", "spec.model.uri", "spec.traning"]


def test_a_list_whose_entry_is_refused_is_not_called_too_short_as_well():
    (said,) = explain(document(generation={"kinds": ["object_count"]}))
    assert said.startswith("spec.generation.kinds[0]")
    assert said.endswith("did you mean object_counting?")
