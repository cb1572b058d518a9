"""Stages that fail: attempts, back-off, deadlines, and the end of patience."""

import pytest

from evolution_api.endings import LastWords


def test_a_failed_attempt_is_followed_by_one_of_a_new_name_after_the_back_off(world):
    world.settle()
    world.fail("x-r0-prepare")
    world.settle()
    assert world.made == ["x-r0-prepare"]
    assert world.condition("Progressing")["reason"] == "Retrying"
    assert world.condition("Progressing")["message"] == (
        "prepare of round 0/2 failed, again in 10 s: disk full (pod x-r0-prepare-0-1, exit code 1)"
    )
    assert world.look().requeue_after_s == 10
    world.wait(9)
    world.settle()
    assert world.made == ["x-r0-prepare"]
    world.wait(1)
    world.settle()
    assert world.made == ["x-r0-prepare", "x-r0-prepare-a2"]
    assert world.status["attempt"] == 2


def test_the_back_off_doubles_up_to_its_bound(world_of):
    world = world_of(retry={"limit": 5, "backoffSeconds": 10, "maxBackoffSeconds": 30})
    waits = []
    for attempt in ("", "-a2", "-a3", "-a4"):
        world.settle()
        world.fail(f"x-r0-prepare{attempt}")
        waits.append(world.step().requeue_after_s)
        world.wait(waits[-1])
    assert waits == [10, 20, 30, 30]


def fail_for_good(world, stage: str, **how) -> None:
    for attempt in ("", "-a2", "-a3"):
        world.settle()
        world.fail(stage + attempt, **how)
        world.settle()
        world.wait(60)


def test_after_the_last_attempt_the_run_has_failed_and_says_why(world):
    fail_for_good(world, "x-r0-prepare")
    world.settle()
    assert world.status["phase"] == "Failed"
    assert world.true_conditions() == ["Failed"]
    assert world.true_conditions(for_kstatus=True) == ["Stalled"]
    assert world.condition("Failed")["message"].startswith("prepare of round 0/2, attempt 3 failed 3 times: disk full (pod ")
    assert "kubectl annotate" in world.condition("Failed")["message"]
    assert [e.reason for e in world.events] == [
        "StageStarted",
        "Retrying",
        "StageStarted",
        "Retrying",
        "StageStarted",
        "RunFailed",
    ]
    assert (world.look().apply, world.look().requeue_after_s) == ((), None)


@pytest.mark.parametrize(
    "how",
    [{"code": 2}, {"retryable": False}],
    ids=["exit code 2", "its last words say so"],
)
def test_what_must_fail_again_fails_the_run_at_once(world, how):
    world.settle()
    world.fail("x-r0-prepare", "model.uri file:///models/tiny holds no weights", **how)
    world.settle()
    assert world.status["phase"] == "Failed"
    assert world.condition("Failed")["message"].startswith(
        "prepare of round 0/2 cannot succeed: model.uri file:///models/tiny holds no weights"
    )


def test_a_gang_is_blamed_on_the_pod_that_died_and_not_on_those_that_were_stopped(world):
    world.pass_all("x-r1-train")
    world.start("x-r1-train")
    world.fail("x-r1-train", "CUDA out of memory", shards=(1,))
    world.settle()
    assert "CUDA out of memory (pod x-r1-train-worker-0, exit code 1)" in world.condition("Progressing")["message"]
    world.wait(10)
    world.settle()
    assert "x-r1-train-a2" in world.children


def test_a_failed_gangs_running_pods_hold_up_the_next_attempt_until_they_are_gone(world):
    world.pass_all("x-r1-train")
    world.start("x-r1-train")
    master, _worker = world.pods_of("x-r1-train")
    world.fail("x-r1-train", shards=(1,))
    master["status"] = {"phase": "Running"}
    world.settle()
    assert "x-r1-train" in world.children, "its pods may still end by themselves, and stay readable"
    world.wait(10)
    world.step()
    assert "x-r1-train" not in world.children
    assert "x-r1-train-a2" not in world.children
    world.sweep()
    world.step()
    assert "x-r1-train-a2" in world.children


def test_a_success_that_nobody_heard_is_repeated(world):
    world.settle()
    world.succeed("x-r0-prepare", mute=True)
    world.settle()
    assert "left no readable termination message" in world.condition("Progressing")["message"]
    world.wait(10)
    world.settle()
    world.succeed("x-r0-prepare-a2")
    world.settle()
    assert world.status["stage"] == "evaluate"


def test_a_success_that_is_never_heard_counts_in_the_end(world):
    for attempt in ("", "-a2", "-a3"):
        world.settle()
        world.succeed(f"x-r0-prepare{attempt}", mute=True)
        world.settle()
        world.wait(60)
    world.settle()
    assert world.status["stage"] == "evaluate"


@pytest.mark.parametrize(
    ("stage", "tolerated", "shards", "how", "goes_on"),
    [
        ("generate", 1, (0,), {}, "after the last attempt"),
        ("generate", 1, (0,), {"code": 2}, "at once"),
        ("generate", 0, (0,), {"code": 2}, "never"),
        ("generate", 1, (0, 1), {}, "never"),
        ("generate", 1, (0, 1), {"code": 2}, "never"),
        ("probe", 1, (0,), {}, "never"),
    ],
    ids=[
        "one shard may fail for good",
        "a hopeless shard is not tried again",
        "no shard may fail",
        "too many failed",
        "too many are hopeless",
        "a probe's shards are all needed",
    ],
)
def test_shards_that_fail_for_good_are_tolerated_up_to_the_limit(world_of, stage, tolerated, shards, how, goes_on):
    world = world_of(generation={"shards": 3, "maxFailedShards": tolerated})
    world.pass_all(f"x-r1-{stage}")
    world.fail(f"x-r1-{stage}", shards=shards, **how)
    world.settle()
    went_on_at_once = world.status["stage"] != stage
    for attempt in ("-a2", "-a3"):
        world.wait(60)
        world.settle()
        if f"x-r1-{stage}-server{attempt}" in world.children:
            world.ready(f"x-r1-{stage}-server{attempt}")
            world.settle()
        if f"x-r1-{stage}{attempt}" in world.children:
            world.fail(f"x-r1-{stage}{attempt}", shards=shards, **how)
            world.settle()
    went_on = world.status["stage"] != stage
    assert (went_on_at_once, went_on) == {
        "at once": (True, True),
        "after the last attempt": (False, True),
        "never": (False, False),
    }[goes_on]
    assert (world.status["phase"] == "Failed") == (goes_on == "never")


def test_a_server_is_no_shard_that_may_fail(world_of):
    world = world_of(generation={"shards": 3, "maxFailedShards": 1, "proposer": {"serving": {}}})
    world.pass_all("x-r1-generate-server")
    world.start("x-r1-generate-server")
    (pod,) = world.pods_of("x-r1-generate-server")
    pod["status"]["containerStatuses"] = [{"restartCount": 1, "state": {}, "lastState": {"terminated": {"exitCode": 2}}}]
    world.settle()
    assert world.status["phase"] == "Failed"


def test_a_deadline_is_no_shard_that_may_fail(world_of):
    world = world_of(generation={"shards": 3, "maxFailedShards": 1}, retry={"limit": 0, "stageTimeoutSeconds": 10})
    world.pass_all("x-r1-generate")
    world.wait(10)
    world.settle()
    assert world.status["phase"] == "Failed"


def test_lost_shards_are_told_and_not_counted(world_of):
    world = world_of(generation={"shards": 3, "maxFailedShards": 1})
    world.pass_all("x-r1-generate")
    world.fail("x-r1-generate", "no readable scene", code=2, shards=(1,))
    world.settle()
    (lost,) = [e for e in world.events if e.reason == "ShardsLost"]
    assert lost.message.startswith("generate of round 1 goes on without 1 of 3 shards: no readable scene")
    assert world.status["rounds"][1]["accepted"] == 12


def test_an_attempt_past_its_deadline_is_deleted_and_tried_again(world_of):
    world = world_of(retry={"stageTimeoutSeconds": 100})
    world.settle()
    world.start("x-r0-prepare")
    world.settle()
    assert world.look().requeue_after_s == 100
    world.wait(100)
    world.settle()
    assert world.children == {}
    assert world.condition("Progressing")["message"] == (
        "prepare of round 0/2 failed, again in 10 s: not done within retry.stageTimeoutSeconds 100"
    )
    world.wait(10)
    world.settle()
    assert set(world.children) == {"x-r0-prepare-a2"}


def test_the_clock_stands_still_in_a_queue(world_of):
    world = world_of(scheduling={"queueName": "gpus"}, retry={"stageTimeoutSeconds": 100})
    world.settle()
    world.wait(10_000)
    world.settle()
    assert world.status["attempt"] == 1
    world.start("x-r0-prepare")
    world.settle()
    world.wait(99)
    world.settle()
    assert world.status["attempt"] == 1
    world.children["x-r0-prepare"]["spec"]["suspend"] = True  # preempted: back into the queue
    world.settle()
    world.wait(10_000)
    world.settle()
    assert world.status["attempt"] == 1
    assert "stageStarted" not in world.status


def test_a_server_that_does_not_get_ready_in_time_is_tried_again(world_of):
    world = world_of(probe={"timeoutSeconds": 50})
    world.pass_all("x-r1-probe-server")
    world.start("x-r1-probe-server")
    world.settle()
    assert world.condition("Progressing")["reason"] == "WaitingForServer"
    assert world.look().requeue_after_s == 50
    world.wait(50)
    world.settle()
    assert "model server not ready within probe.timeoutSeconds 50" in world.condition("Progressing")["message"]
    assert "x-r1-probe-server" not in world.children
    world.wait(10)
    world.settle()
    assert "x-r1-probe-server-a2" in world.children


def test_a_server_that_cannot_load_its_model_fails_the_run_at_once(world):
    world.pass_all("x-r1-probe-server")
    world.start("x-r1-probe-server")
    (pod,) = world.pods_of("x-r1-probe-server")
    words = LastWords(error="no processor in file:///models/tiny", retryable=False).model_dump_json()
    pod["status"]["containerStatuses"] = [
        {
            "restartCount": 1,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 2, "message": words}},
        }
    ]
    world.settle()
    assert world.status["phase"] == "Failed"
    assert "no processor in file:///models/tiny" in world.condition("Failed")["message"]
    assert "x-r1-probe-server" not in world.children, "a failed run holds no accelerator"


def test_a_server_that_crashes_under_the_probe_ends_the_attempt(world):
    world.pass_all("x-r1-probe")
    world.start("x-r1-probe")
    world.children["x-r1-probe-server"]["status"]["conditions"] = []
    (pod,) = world.pods_of("x-r1-probe-server")
    pod["status"]["containerStatuses"] = [
        {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 137}}}
    ]
    world.settle()
    assert not {"x-r1-probe", "x-r1-probe-server"} & set(world.children)
    world.wait(10)
    world.settle()
    assert "x-r1-probe-server-a2" in world.children
    assert "x-r1-probe-a2" not in world.children


def test_a_pod_that_cannot_start_is_told_in_the_condition(world):
    world.settle()
    world.start("x-r0-prepare")
    (pod,) = world.pods_of("x-r0-prepare")
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere/jobs:1"'}
    pod["status"] = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]}
    world.settle()
    assert world.condition("Progressing")["reason"] == "ImagePullBackOff"
    assert 'Back-off pulling image "nowhere/jobs:1"' in world.condition("Progressing")["message"]


@pytest.mark.parametrize("value", ["1", "again"])
def test_a_failed_run_is_resumed_from_the_failed_stage_with_fresh_attempts(world, value):
    world.pass_all("x-r1-train")
    fail_for_good(world, "x-r1-train")
    assert world.status["phase"] == "Failed"
    world.resume(value)
    world.settle()
    assert world.status["phase"] == "Running"
    assert world.made[-1] == "x-r1-train-a4"
    assert (world.status["attempt"], world.status["firstAttempt"], world.status["resumed"]) == (4, 4, value)
    for attempt in ("-a4", "-a5", "-a6"):
        world.settle()
        world.fail(f"x-r1-train{attempt}")
        world.settle()
        world.wait(60)
    world.settle()
    assert world.status["phase"] == "Failed", "the same value does not resume twice"
    world.resume(value + "!")
    world.pass_all()
    assert world.status["phase"] == "Succeeded"
    assert world.made.count("x-r1-generate") == 1


def test_a_resume_asked_of_a_run_that_goes_on_does_nothing_later(world):
    world.resume("too early")
    fail_for_good(world, "x-r0-prepare")
    world.settle()
    assert world.status["phase"] == "Failed"


def test_a_lowered_back_off_shortens_the_wait_under_way(world_of):
    world = world_of(retry={"backoffSeconds": 1000, "maxBackoffSeconds": 1000})
    world.settle()
    world.fail("x-r0-prepare")
    world.settle()
    assert world.look().requeue_after_s == 1000
    world.edit(retry={"backoffSeconds": 5, "maxBackoffSeconds": 5})
    assert world.look().requeue_after_s == 5


def test_a_hostile_termination_message_is_capped_and_made_plain(world):
    world.settle()
    world.start("x-r0-prepare")
    (pod,) = world.pods_of("x-r0-prepare")
    world.fail("x-r0-prepare")
    world.end_pod(pod, 1, "\x1b[31mrm -rf /\n\u202e" + "x" * 5000)
    world.settle()
    message = world.condition("Progressing")["message"]
    assert len(message) < 1200
    assert message.isprintable()
