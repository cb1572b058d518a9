"""Whose child it is: leftovers of another run, duplicates, and what does not fit."""

from copy import deepcopy

import pytest


def of_another_run(child: dict) -> dict:
    other = deepcopy(child)
    other["metadata"]["uid"] = "uid-other-child"
    other["metadata"]["labels"]["evolution.spatial.io/run-uid"] = "uid-other"
    other["metadata"]["ownerReferences"][0]["uid"] = "uid-other"
    return other


def test_a_child_of_an_earlier_run_of_that_name_is_never_adopted_nor_deleted(world):
    world.children["x-r0-prepare"] = of_another_run(world.look().apply[0])
    plan = world.step()
    assert (plan.apply, plan.delete) == ((), ())
    assert world.condition("Progressing")["reason"] == "ChildOfAnotherRun"
    assert "Job x-r0-prepare exists and belongs to another run" in world.condition("Progressing")["message"]
    world.succeed("x-r0-prepare")
    world.settle()
    assert world.status["stage"] == "prepare", "its success is not ours"
    del world.children["x-r0-prepare"]
    world.settle()
    assert world.made == ["x-r0-prepare"]


@pytest.mark.parametrize("which", ["label", "owner"])
def test_both_the_label_and_the_owner_must_be_ours(world, which):
    child = deepcopy(world.look().apply[0])
    child["metadata"]["uid"] = "uid-other-child"
    if which == "label":
        child["metadata"]["labels"]["evolution.spatial.io/run-uid"] = "uid-other"
    else:
        child["metadata"]["ownerReferences"][0]["uid"] = "uid-other"
    world.children["x-r0-prepare"] = child
    world.settle()
    assert world.condition("Progressing")["reason"] == "ChildOfAnotherRun"


def test_pods_of_another_run_hold_nothing_up(world):
    world.settle()
    world.start("x-r0-prepare")
    (pod,) = deepcopy(world.pods_of("x-r0-prepare"))
    pod["metadata"]["labels"]["evolution.spatial.io/run-uid"] = "uid-other"
    world.pods["foreign"] = pod
    world.succeed("x-r0-prepare")
    world.settle()
    assert "x-r0-evaluate" in world.children


@pytest.mark.parametrize("finished", [False, True], ids=["alive", "finished"])
def test_a_duplicate_under_another_name_is_deleted(world, finished):
    world.settle()
    twin = deepcopy(world.children["x-r0-prepare"])
    twin["metadata"] |= {"name": "x-r0-prepare-copy", "uid": "uid-copy"}
    world.children["x-r0-prepare-copy"] = twin
    if finished:
        world.succeed("x-r0-prepare-copy")
    world.settle()
    assert set(world.children) == {"x-r0-prepare"}


def test_a_child_with_labels_that_mean_nothing_is_deleted(world):
    world.settle()
    odd = deepcopy(world.children["x-r0-prepare"])
    odd["metadata"] |= {"name": "odd", "uid": "uid-odd"}
    odd["metadata"]["labels"]["evolution.spatial.io/stage"] = "dance"
    world.children["odd"] = odd
    world.settle()
    assert set(world.children) == {"x-r0-prepare"}


def test_a_stale_attempt_that_comes_back_is_deleted(world):
    world.settle()
    first = deepcopy(world.children["x-r0-prepare"])
    world.fail("x-r0-prepare")
    world.settle()
    world.wait(10)
    world.settle()
    first["metadata"]["uid"] = "uid-back"
    world.children["x-r0-prepare"] = first
    world.settle()
    assert world.alive_attempts() == {("0", "prepare", "2")}


def test_an_earlier_attempt_that_succeeded_after_all_is_taken(world_of):
    world = world_of(retry={"stageTimeoutSeconds": 100})
    world.settle()
    world.start("x-r0-prepare")
    world.wait(100)
    world.step(lose_deletes=True)
    world.succeed("x-r0-prepare")
    world.settle()
    assert world.status["stage"] == "evaluate"
    assert "x-r0-prepare-a2" not in world.made
