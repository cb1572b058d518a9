"""Whatever happens, in whatever order: what must never happen, and that every run ends."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolution_api.layout import LABEL_ROLE, LABEL_ROUND, LABEL_STAGE
from evolution_api.stages import BY_NAME, STAGES

ENDED = len(STAGES)
NEEDS = {
    "prepare": lambda r: [],
    "generate": lambda r: [(0, "prepare"), (0, "evaluate"), *([(r - 1, "train")] if r > 1 else [])],
    "probe": lambda r: [(r, "generate")],
    "train": lambda r: [(r, "probe")],
    "evaluate": lambda r: [(r, "train")] if r else [(0, "prepare")],
}
"""What must be committed before a stage of round r may start."""

ACTIONS = (
    "look",
    "look",
    "look and lose the status",
    "look and lose the deletions",
    "time passes",
    "much time passes",
    "start",
    "succeed",
    "succeed",
    "succeed",
    "succeed without words",
    "fail",
    "fail in one shard",
    "fail for good",
    "server ready",
    "server ready",
    "server crashes",
    "vanish",
    "hold",
    "pods go",
    "pods go",
    "a finished child is collected",
    "suspend",
    "go on",
    "resume",
    "more rounds",
    "fewer rounds",
    "fewer attempts",
    "more attempts",
    "a duplicate appears",
)


class Story:
    """A world, and the memory of what was committed in it."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.committed: set[tuple[int, str]] = set()
        self.resumes = 0
        self.copies = 0

    # ---- facts

    def unfinished(self, *kinds: str) -> list[str]:
        return [n for n, c in self.world.children.items() if c["kind"] in kinds and not self.is_finished(c) and not self.goes(c)]

    @staticmethod
    def is_finished(child: dict[str, Any]) -> bool:
        conditions = child.get("status", {}).get("conditions", [])
        return any(c["type"] in ("Complete", "Succeeded", "Failed") and c["status"] == "True" for c in conditions)

    @staticmethod
    def goes(child: dict[str, Any]) -> bool:
        return "deletionTimestamp" in child["metadata"]

    def act(self, action: str, pick: int) -> None:
        world = self.world

        def one(names: list[str], do: Callable[[str], None]) -> None:
            if names:
                do(names[pick % len(names)])

        work = self.unfinished("Job", "PyTorchJob")
        servers = self.unfinished("InferenceService")
        match action:
            case "look":
                self.look()
            case "look and lose the status":
                self.look(lose_status=True)
            case "look and lose the deletions":
                self.look(lose_deletes=True)
            case "time passes":
                world.wait(5)
            case "much time passes":
                world.wait(700)
            case "start":
                one([n for n in work if not world.pods_of(n)], world.start)
            case "succeed":
                one(work, self.succeed)
            case "succeed without words":
                one(work, lambda n: self.succeed(n, mute=True))
            case "fail":
                one(work, self.fail_in_part)
            case "fail in one shard":
                one(work, lambda n: self.fail_in_part(n, shards=(1,)))
            case "fail for good":
                one(work, lambda n: self.fail_in_part(n, code=2))
            case "server ready":
                one([n for n in servers if not world.pods_of(n)], world.ready)
            case "server crashes":
                one([n for n in servers if world.pods_of(n)], self.crash)
            case "vanish":
                one([n for n, c in world.children.items() if not self.goes(c)], world.delete)
            case "hold":
                one([n for n, c in world.children.items() if not self.goes(c)], lambda n: world.delete(n, slowly=True))
            case "pods go":
                world.sweep()
            case "a finished child is collected":
                one([n for n, c in world.children.items() if self.is_finished(c) and not self.goes(c)], world.children.pop)
            case "suspend":
                world.edit(suspend=True)
            case "go on":
                world.edit(suspend=False)
            case "resume":
                self.resumes += 1
                world.resume(str(self.resumes))
            case "more rounds":
                world.edit(rounds=min(world.spec["rounds"] + 1, 4))
            case "fewer rounds":
                world.edit(rounds=max(world.spec["rounds"] - 1, 1))
            case "fewer attempts":
                world.edit(retry={"limit": 0})
            case "more attempts":
                world.edit(retry={"limit": 3})
            case "a duplicate appears":
                one(work, self.duplicate)
            case _:
                raise AssertionError(action)

    def succeed(self, name: str, *, mute: bool = False) -> None:
        self.world.succeed(name, mute=mute)
        labels = self.world.children[name]["metadata"]["labels"]
        self.committed.add((int(labels[LABEL_ROUND]), labels[LABEL_STAGE]))

    def fail_in_part(self, name: str, **how: Any) -> None:
        self.world.fail(name, **how)
        labels = self.world.children[name]["metadata"]["labels"]
        if labels[LABEL_STAGE] == "generate" and self.world.spec["generation"].get("maxFailedShards"):
            self.committed.add((int(labels[LABEL_ROUND]), "generate"))

    def crash(self, name: str) -> None:
        self.world.children[name]["status"] = {}
        for pod in self.world.pods_of(name):
            crashed = {"restartCount": 5, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
            pod["status"]["containerStatuses"] = [crashed | {"lastState": {"terminated": {"exitCode": 1, "message": "boom"}}}]

    def duplicate(self, name: str) -> None:
        """Somebody copies a child; a copy has no pods yet, and is no attempt of ours."""
        self.copies += 1
        twin = dict(self.world.children[name])
        twin["metadata"] = dict(twin["metadata"]) | {"name": f"copy-{self.copies}", "uid": f"uid-copy-{self.copies}"}
        twin.pop("status", None)
        self.world.children[twin["metadata"]["name"]] = twin

    # ---- what must hold

    def look(self, **lost: bool) -> None:
        world = self.world
        before, alive, made = world.status, self.alive(), len(world.made)
        suspended = world.spec.get("suspend")
        plan = world.step(**lost)
        for name in world.made[made:]:
            self.check_made(name, alive)
            assert not suspended
        if not lost:
            self.check_moved(before, world.status)
            assert not {m["metadata"]["name"] for m in world.look().apply} & set(world.children), "children are write-once"
        assert {ref.name for ref in plan.delete} <= {*world.made, *(f"copy-{i}" for i in range(1, self.copies + 1))}

    def alive(self) -> set[tuple[str, str, str]]:
        return self.world.alive_attempts()

    def check_made(self, name: str, alive_before: set[tuple[str, str, str]]) -> None:
        labels = self.world.children[name]["metadata"]["labels"]
        round_, stage = int(labels[LABEL_ROUND]), labels[LABEL_STAGE]
        missing = [place for place in NEEDS[stage](round_) if place not in self.committed]
        assert not missing, f"{name} was made before {missing}"
        mine = {tuple(labels[f"evolution.spatial.io/{key}"] for key in ("round", "stage", "attempt"))}
        assert alive_before <= mine, f"{name} was made beside {alive_before}"
        beside = {role for at, role in self.world.roles_alive() if at == stage} if labels[LABEL_ROLE] == "work" else set()
        assert stage != "train" or beside == {"work"}

    @staticmethod
    def check_moved(before: dict[str, Any], after: dict[str, Any]) -> None:
        assert place(after) >= place(before), "a place was passed twice"
        if place(before)[:2] == place(after)[:2] and before:
            assert after["attempt"] >= before["attempt"]
        old, new = before.get("rounds", []), after["rounds"]
        assert len(new) >= len(old)
        for was, now in zip(old, new, strict=False):
            lost = [k for k, v in was.items() if v not in (0, {}) and k not in ("rejected", "seconds") and now.get(k) != v]
            assert not lost, f"round {was['round']} lost {lost}"
        assert [r["round"] for r in new] == list(range(len(new)))
        assert after["accepted"] == sum(r["accepted"] for r in new)
        true = [c["type"] for c in after["conditions"] if c["status"] == "True"]
        assert len(set(true) - {"Reconciling", "Stalled"}) <= 1

    def finish(self) -> None:
        """With fair progress, and somebody who resumes what failed, every run succeeds."""
        world = self.world
        world.edit(suspend=False, retry={"limit": 3})
        for _ in range(100):
            world.sweep()
            self.look()
            if world.status["phase"] == "Succeeded":
                break
            if world.status["phase"] == "Failed":
                self.act("resume", 0)
            for name in self.unfinished("InferenceService"):
                if not world.children[name].get("status", {}).get("address"):
                    world.pods = {n: p for n, p in world.pods.items() if p not in world.pods_of(name)}
                    world.ready(name)
            for name in self.unfinished("Job", "PyTorchJob"):
                self.succeed(name)
            world.wait(60)
        assert world.status["phase"] == "Succeeded"
        world.settle()
        assert self.alive() == set()
        plan = world.look()
        assert (plan.apply, plan.delete, plan.events, plan.requeue_after_s) == ((), (), (), None)


def place(status: dict[str, Any]) -> tuple[int, int]:
    if not status:
        return (0, 0)
    return status["round"], BY_NAME[status["stage"]].order if "stage" in status else ENDED


@pytest.mark.parametrize("variant", [{}, {"generation": {"shards": 2, "maxFailedShards": 1}}], ids=["strict", "tolerant"])
def test_any_sequence_of_facts_keeps_the_rules_and_can_be_brought_to_an_end(world_of, variant):
    @settings(max_examples=120)
    @given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3)), max_size=60))
    def holds(actions: list[tuple[str, int]]) -> None:
        story = Story(world_of(**variant))
        for action, pick in actions:
            story.act(action, pick)
            if action not in ("look", "a duplicate appears"):
                story.look()
        story.finish()

    holds()
