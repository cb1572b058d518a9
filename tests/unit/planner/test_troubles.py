"""What keeps pods from running: told in words, once, and no accelerator is held for it without end."""

import pytest

QUOTA = 'pods "x" is forbidden: exceeded quota'


def told(world) -> tuple[str, str]:
    progressing = world.condition("Progressing")
    return progressing["reason"], progressing["message"]


def warned(world) -> list[str]:
    return [event.reason for event in world.events if event.type == "Warning"]


@pytest.mark.parametrize(
    ("child", "where"),
    [
        ("x-r0-prepare", "prepare of round 0/2"),
        ("x-r1-probe-server", "probe of round 1/2"),
        ("x-r1-train", "train of round 1/2"),
    ],
    ids=["Job", "InferenceService", "PyTorchJob"],
)
def test_pods_that_are_refused_are_told_in_their_controllers_words(world, child, where):
    world.pass_all(child)
    world.refuse_pods(child, QUOTA)
    assert world.look().requeue_after_s == 20
    world.wait(20)
    world.settle()
    reason, message = told(world)
    assert reason == "PodsMissing"
    assert message.startswith(f"{where}: 0 of ")
    assert message.endswith(f"Error creating: {QUOTA}")
    world.wait(100)
    world.settle()
    assert warned(world) == ["PodsMissing"], "it is told once"
    world.pass_all()
    assert world.status["phase"] == "Succeeded"


def test_pods_that_come_late_are_no_trouble(world):
    world.settle()
    world.wait(19)
    world.settle()
    assert told(world)[0] == "StageRunning"
    world.start("x-r0-prepare")
    world.wait(10)
    world.settle()
    assert (told(world)[0], warned(world), world.look().requeue_after_s) == ("StageRunning", [], None)


def test_a_cleanup_whose_pod_is_refused_says_so(world_of):
    world = world_of(storage={"onDelete": "Delete"})
    world.settle()
    world.ask_deletion()
    world.settle()
    assert world.look().requeue_after_s == 20
    world.refuse_pods("x-r0-cleanup", QUOTA)
    world.wait(20)
    world.settle()
    assert told(world)[0] == "PodsMissing"
    assert QUOTA in told(world)[1]
    assert "set spec.storage.onDelete to Retain" in told(world)[1]
    assert warned(world) == ["PodsMissing"]


def test_a_trouble_that_comes_and_goes_is_told_once_an_attempt(world):
    world.settle()
    for _ in range(3):
        world.hold_up("x-r0-prepare", "ErrImagePull", "not found")
        world.settle()
        world.hold_up("x-r0-prepare", "ContainerCreating", "")
        world.settle()
    assert told(world)[0] == "StageRunning"
    troubles = [event for event in world.events if event.type == "Warning"]
    assert {(event.reason, event.once) for event in troubles} == {("ErrImagePull", True)}
    assert troubles[0].message == f"prepare of round 0/2: pod {world.pods_of('x-r0-prepare')[0]['metadata']['name']}: not found"


SERVED = {"generation": {"shards": 2, "proposer": {"serving": {}}}, "probe": {"timeoutSeconds": 50}, "retry": {"limit": 0}}


@pytest.mark.parametrize(
    ("work", "trouble"),
    [
        ("x-r1-probe", "its image"),
        ("x-r1-generate", "its image"),
        ("x-r1-probe", "its pods are refused"),
        ("x-r1-probe", "somebody suspends it"),
    ],
)
def test_a_server_beside_which_nothing_can_run_is_given_back(world_of, work, trouble):
    world = world_of(**SERVED)
    world.pass_all(work)
    if trouble == "its image":
        world.hold_up(work, "ErrImagePull", "not found")
    elif trouble == "its pods are refused":
        world.refuse_pods(work, "not found")
    else:
        world.children[work]["spec"]["suspend"] = True
    world.wait(49)
    world.settle()
    assert {work, f"{work}-server"} <= set(world.children)
    assert world.look().requeue_after_s == 1
    world.wait(1)
    world.settle()
    assert not {work, f"{work}-server"} & set(world.children)
    message = world.condition("Failed")["message"]
    assert "nothing ran beside its model server for probe.timeoutSeconds 50: " in message
    assert ("it is suspended" if trouble == "somebody suspends it" else "not found") in message


def test_a_server_whose_work_runs_on_is_kept(world_of):
    world = world_of(probe={"timeoutSeconds": 50})
    world.pass_all("x-r1-probe")
    world.start("x-r1-probe")
    world.wait(10_000)
    world.settle()
    assert {"x-r1-probe", "x-r1-probe-server"} <= set(world.children)


def test_a_server_whose_work_is_refused_is_given_back(world_of):
    """As by a quota on Jobs: the adapter says it in the condition."""
    world = world_of(probe={"timeoutSeconds": 50}, retry={"limit": 0})
    world.pass_all("x-r1-probe")
    world.delete("x-r1-probe")
    world.sweep()
    since = world.condition("Progressing")
    since |= {"status": "False", "reason": "QuotaExceeded", "message": "cannot create Job", "lastTransitionTime": stamp(world)}
    world.wait(50)
    world.settle()
    assert "x-r1-probe-server" not in world.children
    assert "for probe.timeoutSeconds 50: cannot create Job" in world.condition("Failed")["message"]


def stamp(world) -> str:
    return world.now.isoformat()


def test_a_server_whose_works_name_is_taken_is_given_back(world_of):
    world = world_of(probe={"timeoutSeconds": 50})
    world.pass_all("x-r1-probe")
    world.children["x-r1-probe"]["metadata"]["labels"]["evolution.spatial.io/run-uid"] = "uid-other"
    world.settle()
    assert warned(world) == ["ChildOfAnotherRun"]
    world.wait(60)
    world.settle()
    world.wait(60)
    world.settle()
    assert "x-r1-probe-server" not in world.children
    assert "x-r1-probe-server-a2" in world.children


def test_the_clock_of_a_server_stands_still_in_a_queue_and_its_work_waits_in_none(world_of):
    world = world_of(scheduling={"queueName": "gpus"}, probe={"timeoutSeconds": 50})
    world.pass_all("x-r1-probe-server")
    world.start("x-r1-probe-server")
    (pod,) = world.pods_of("x-r1-probe-server")
    held_back = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    pod["status"] = {"phase": "Pending", "conditions": [held_back]}
    world.settle()
    world.wait(10_000)
    world.settle()
    assert told(world) == ("Queued", "probe of round 1/2: InferenceService x-r1-probe-server waits in queue gpus")
    assert world.status["attempt"] == 1
    pod["status"] = {"phase": "Running"}
    world.settle()
    world.wait(49)
    world.settle()
    assert world.status["attempt"] == 1
    world.ready("x-r1-probe-server")
    world.settle()
    assert world.children["x-r1-probe"]["spec"]["suspend"] is False
