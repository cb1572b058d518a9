"""How a run goes: children first, then storage where that is wanted; never for ever."""

import pytest

FINALIZER = "evolution.spatial.io/storage"
PLACES = ("x-r0-prepare", "x-r1-generate", "x-r1-probe", "x-r1-train", "x-r1-evaluate")


@pytest.mark.parametrize("place", PLACES)
def test_a_run_whose_objects_are_kept_goes_at_once_with_its_children(world, place):
    world.pass_all(place)
    world.start(place)
    assert world.meta["finalizers"] == []
    world.ask_deletion()
    world.step()
    assert world.gone
    assert world.children == {}


@pytest.mark.parametrize("place", PLACES)
def test_storage_is_deleted_after_the_last_pod_is_gone(world_of, place):
    world = world_of(storage={"onDelete": "Delete"})
    world.pass_all(place)
    world.start(place)
    assert world.meta["finalizers"] == [FINALIZER]
    world.ask_deletion()
    world.step()
    assert world.children == {}
    world.step()
    assert "x-r0-cleanup" not in world.made, "pods still write"
    assert world.condition("Progressing")["reason"] == "WaitingForDeletion"
    world.sweep()
    world.settle()
    assert set(world.children) == {"x-r0-cleanup"}
    assert "ownerReferences" not in world.children["x-r0-cleanup"]["metadata"]
    assert not world.gone
    world.succeed("x-r0-cleanup")
    world.step()
    assert world.gone
    assert world.children == {}
    assert world.events[-1].message == "deleted s3://bucket/runs/lab/x/uid-x"


def asked_to_clean(world_of, **changes):
    world = world_of(storage={"onDelete": "Delete"}, **changes)
    world.pass_all("x-r1-generate")
    world.ask_deletion()
    world.settle()
    return world


def test_a_cleanup_that_fails_is_tried_again_and_then_let_go_of_with_a_warning(world_of):
    world = asked_to_clean(world_of)
    for attempt in ("", "-a2"):
        world.fail(f"x-r0-cleanup{attempt}", "s3://bucket/runs refused the connection")
        for _ in range(2):
            world.step()
            said = world.condition("Progressing")
            assert said["reason"] == "Retrying"
            assert "refused the connection" in said["message"]
            assert said["message"].endswith("set spec.storage.onDelete to Retain")
        world.wait(20)
        world.step()
        assert world.condition("Progressing")["reason"] == "DeletingStorage"
    world.fail("x-r0-cleanup-a3", "s3://bucket/runs refused the connection")
    world.step()
    assert world.gone
    last = world.events[-1]
    assert (last.type, last.reason) == ("Warning", "StorageLeftBehind")
    assert last.message.startswith("s3://bucket/runs/lab/x/uid-x was not deleted: s3://bucket/runs refused the connection")
    assert world.children == {}


def test_a_cleanup_that_never_starts_is_let_go_of_in_the_end(world_of):
    world = asked_to_clean(world_of)
    world.start("x-r0-cleanup")
    assert world.look().requeue_after_s == 3600
    world.wait(3600)
    world.step()
    assert world.gone
    assert world.events[-1].reason == "StorageLeftBehind"


def test_children_that_never_go_are_let_go_of_in_the_end(world_of):
    world = world_of(storage={"onDelete": "Delete"})
    world.pass_all("x-r1-probe-server")
    world.ask_deletion()
    for ref in world.step(lose_deletes=True).delete:
        world.delete(ref.name, slowly=True)
    world.step()
    assert "waiting for InferenceService x-r1-probe-server" in world.condition("Progressing")["message"]
    assert "set spec.storage.onDelete to Retain" in world.condition("Progressing")["message"]
    world.wait(3600)
    world.step()
    assert world.gone


def test_the_documented_way_out_lets_go_at_once(world_of):
    world = asked_to_clean(world_of)
    world.edit(storage={"onDelete": "Retain"})
    world.step()
    assert world.gone
    assert world.children == {}


def test_a_cleanup_whose_status_was_lost_is_not_made_twice(world_of):
    world = asked_to_clean(world_of)
    world.fail("x-r0-cleanup")
    world.step()
    world.wait(20)
    world.step(lose_status=True)
    world.settle()
    assert world.made[-2:] == ["x-r0-cleanup", "x-r0-cleanup-a2"]


@pytest.mark.parametrize("end", ["succeeds", "fails"])
def test_a_cleanup_that_is_over_is_not_made_again_where_the_finalizer_is_still_there(world_of, end):
    """After a crash between the deletion of its Job and the finalizer's."""
    world = asked_to_clean(world_of, retry={"limit": 0})
    if end == "succeeds":
        world.succeed("x-r0-cleanup")
    else:
        world.fail("x-r0-cleanup")
    world.step(lose_deletes=True)
    world.delete("x-r0-cleanup")
    world.sweep()
    assert world.meta["finalizers"] == [FINALIZER]
    world.step()
    assert world.gone
    assert world.made.count("x-r0-cleanup") == 1


def test_foreign_finalizers_are_left_alone(world_of):
    world = world_of(storage={"onDelete": "Delete"})
    world.meta["finalizers"] = ["other/one"]
    world.settle()
    assert world.meta["finalizers"] == ["other/one", FINALIZER]
    world.edit(storage={"onDelete": "Retain"})
    world.settle()
    assert world.meta["finalizers"] == ["other/one"]


def test_a_suspended_run_can_be_deleted(world_of):
    world = world_of(suspend=True, storage={"onDelete": "Delete"})
    world.settle()
    world.ask_deletion()
    world.settle()
    world.succeed("x-r0-cleanup")
    world.step()
    assert world.gone
