"""Suspend frees every pod and keeps the place."""

import pytest

PLACES = ("x-r0-prepare", "x-r1-generate", "x-r1-probe-server", "x-r1-probe", "x-r1-train", "x-r1-evaluate")


@pytest.mark.parametrize("place", PLACES)
def test_a_suspended_run_holds_no_pod_and_goes_on_from_its_place(world, place):
    world.pass_all(place)
    world.start(place)
    world.edit(suspend=True)
    world.step()
    assert world.status["phase"] == "Suspended"
    assert world.condition("Suspended")["status"] == "False", "pods are still terminating"
    world.sweep()
    world.settle()
    assert world.true_conditions() == ["Suspended"]
    assert world.true_conditions(for_kstatus=True) == []
    assert world.alive_attempts() == set()
    at = (world.status["round"], world.status["stage"], world.status["attempt"])
    world.wait(10_000)
    world.settle()
    world.edit(suspend=False)
    world.settle()
    assert (world.status["round"], world.status["stage"], world.status["attempt"]) == at
    assert world.status["phase"] in ("Running", "Pending")
    assert [e.reason for e in world.events if e.reason in ("Suspended", "Resumed")] == ["Suspended", "Resumed"]
    world.pass_all()
    assert world.status["phase"] == "Succeeded"


def test_what_finished_before_the_suspend_counts(world):
    world.pass_all("x-r1-generate")
    world.succeed("x-r1-generate")
    world.edit(suspend=True)
    world.settle()
    assert world.status["stage"] == "probe"
    assert world.status["accepted"] == 12
    assert "x-r1-probe-server" not in world.made


def test_time_spent_suspended_does_not_count_against_a_deadline(world_of):
    world = world_of(retry={"stageTimeoutSeconds": 100})
    world.settle()
    world.wait(90)
    world.edit(suspend=True)
    world.settle()
    world.wait(1000)
    world.edit(suspend=False)
    world.settle()
    assert world.status["attempt"] == 1
    world.start("x-r0-prepare")
    assert world.look().requeue_after_s == 100


def test_a_run_may_be_suspended_from_the_start(world_of):
    world = world_of(suspend=True)
    world.settle()
    assert (world.made, world.status["phase"]) == ([], "Suspended")
    world.edit(suspend=False)
    world.pass_all()
    assert world.status["phase"] == "Succeeded"


def test_suspending_a_finished_run_changes_nothing(world):
    world.pass_all()
    world.edit(suspend=True)
    world.settle()
    assert world.status["phase"] == "Succeeded"


def test_a_failed_run_stays_failed_when_it_is_suspended(world):
    world.settle()
    world.fail("x-r0-prepare", code=2)
    world.edit(suspend=True)
    world.settle()
    assert world.status["phase"] == "Failed"
