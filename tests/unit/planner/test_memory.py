"""Two memories: children remember what a lost status write forgot, the status what garbage collection took."""

from copy import deepcopy

import pytest

PLACES = ("x-r0-prepare", "x-r0-evaluate", "x-r1-generate", "x-r1-probe-server", "x-r1-probe", "x-r1-train", "x-r1-evaluate")


def last_state(world) -> tuple:
    return world.status["phase"], world.status["rounds"], world.status.get("best"), world.made


@pytest.fixture
def undisturbed(world_of) -> tuple:
    world = world_of()
    world.pass_all()
    phase, rounds, best, made = last_state(world)
    return phase, [without_times(r) for r in rounds], best, made


def without_times(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in ("started", "finished", "seconds")}


@pytest.mark.parametrize("place", PLACES)
def test_a_lost_status_write_is_made_good_from_the_children(world, undisturbed, place):
    world.pass_all(place)
    if world.children[place]["kind"] == "InferenceService":
        world.ready(place)
    else:
        world.succeed(place)
    world.step(lose_status=True)
    world.wait(1)
    world.pass_all()
    phase, rounds, best, made = last_state(world)
    assert (phase, [without_times(r) for r in rounds], best, made) == undisturbed


@pytest.mark.parametrize("place", PLACES)
def test_several_lost_status_writes_in_a_row_are_made_good(world, undisturbed, place):
    world.pass_all(place)
    for _ in range(2):
        before = set(world.made)
        for name in [n for n, c in world.children.items() if c["kind"] != "InferenceService" and n not in before - {place}]:
            world.succeed(name)
        for name in [n for n, c in world.children.items() if c["kind"] == "InferenceService" and "status" not in c]:
            world.ready(name)
        world.step(lose_status=True)
        world.sweep()
    world.pass_all()
    phase, rounds, best, made = last_state(world)
    assert (phase, [without_times(r) for r in rounds], best, made) == undisturbed


@pytest.mark.parametrize("place", PLACES)
def test_finished_children_that_are_gone_are_not_missed(world, undisturbed, place):
    world.pass_all(place)
    for name in [n for n, c in world.children.items() if n != place and c["kind"] != "InferenceService"]:
        del world.children[name]
    world.pods = {n: p for n, p in world.pods.items() if p["status"]["phase"] == "Running"}
    world.pass_all()
    phase, rounds, best, made = last_state(world)
    assert (phase, [without_times(r) for r in rounds], best, made) == undisturbed


def test_a_retry_whose_status_was_lost_is_not_made_twice(world):
    world.settle()
    world.fail("x-r0-prepare")
    world.settle()
    world.wait(10)
    world.step(lose_status=True)
    assert "x-r0-prepare-a2" in world.children
    world.wait(100)
    world.settle()
    assert world.made == ["x-r0-prepare", "x-r0-prepare-a2"]
    assert world.status["attempt"] == 2


def test_a_failure_whose_status_was_lost_keeps_its_back_off(world):
    world.settle()
    world.fail("x-r0-prepare")
    world.step(lose_status=True)
    world.wait(4)
    assert world.step().requeue_after_s == 6


def test_a_status_that_was_wiped_is_taken_up_at_the_furthest_child(world):
    world.pass_all("x-r1-train")
    world.status = {}
    world.settle()
    assert (world.status["round"], world.status["stage"]) == (1, "train")
    assert world.status["rounds"][1]["accepted"] == 12
    assert world.made.count("x-r1-train") == 1


@pytest.mark.parametrize("change", [{"round": 7}, {"rounds": []}], ids=["a round without a record", "no records"])
def test_a_status_that_contradicts_itself_is_begun_anew_and_taken_up_at_the_furthest_child(world, change):
    world.pass_all("x-r1-train")
    world.status |= change
    world.settle()
    assert (world.status["round"], world.status["stage"]) == (1, "train")
    world.pass_all()
    assert world.status["phase"] == "Succeeded"
    assert world.made.count("x-r1-train") == 1


def test_a_status_that_was_wiped_without_children_starts_over(world):
    world.pass_all("x-r1-train")
    world.status, world.children, world.pods = {}, {}, {}
    world.settle()
    assert set(world.children) == {"x-r0-prepare"}


@pytest.mark.parametrize("place", PLACES)
def test_a_child_deleted_by_hand_is_made_again_once_its_pods_are_gone(world, place):
    world.pass_all(place)
    world.start(place)
    world.delete(place)
    world.step()
    assert place not in world.children
    assert world.condition("Progressing")["reason"] == "WaitingForDeletion"
    world.sweep()
    world.settle()
    assert place in world.children
    assert world.status["attempt"] == 1
    world.pass_all()
    assert world.status["phase"] == "Succeeded"


def test_a_child_that_is_held_by_a_finalizer_is_waited_for_and_named(world):
    world.pass_all("x-r1-probe")
    world.succeed("x-r1-probe")
    for ref in world.step(lose_deletes=True).delete:
        world.delete(ref.name, slowly=True)
    plan = world.step()
    assert (plan.apply, plan.delete) == ((), ())
    assert world.condition("Progressing")["message"] == (
        "probe of round 1/2: waiting for InferenceService x-r1-probe-server to go"
    )


def test_an_attempt_that_exists_counts_even_where_nothing_else_remembers_it(world):
    world.settle()
    before = world.status
    world.fail("x-r0-prepare")
    world.settle()
    world.wait(10)
    world.settle()
    world.status = before
    del world.children["x-r0-prepare"]
    world.settle()
    assert set(world.children) == {"x-r0-prepare-a2"}
    assert world.status["attempt"] == 2


@pytest.mark.parametrize("seen", ["not yet", "running"])
@pytest.mark.parametrize("place", ["x-r1-generate", "x-r1-train"])
def test_pods_that_were_read_before_their_child_ended_are_to_be_read_again(world, place, seen):
    world.pass_all(place)
    world.start(place)
    before = {} if seen == "not yet" else deepcopy(world.pods)
    assert not world.look().unheard
    world.succeed(place)
    ended, world.pods = world.pods, before
    assert world.look().unheard
    world.pods = ended
    assert not world.look().unheard


def test_a_failed_child_s_pods_are_read_again_and_a_failed_cleanup_s_too(world_of):
    world = world_of(storage={"uri": "s3://bucket", "onDelete": "Delete"})
    world.pass_all("x-r1-train")
    world.fail("x-r1-train")
    assert world.step().unheard
    world.ask_deletion()
    world.pass_all("x-r0-cleanup")
    world.fail("x-r0-cleanup")
    assert world.look().unheard
