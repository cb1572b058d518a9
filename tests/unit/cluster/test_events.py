"""Events are published in each run's order, several runs' at once, and those left when the operator stops."""

import asyncio
from contextlib import suppress
from typing import Any

from evolution_operator.cluster.events import AT_ONCE, ENOUGH, Events
from evolution_operator.interface import Event

TOLD = ("StageSucceeded", "StageStarted")
MANY = 200
"""Runs: whom each is told by is drawn by a hash, and with so many of them nobody is idle."""


class Slow:
    """Takes what is created only when it is let; remembers it, and how much was under way at once."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.taken: list[tuple[str, str]] = []
        self.busy = self.busiest = 0

    async def create(self, manifest: dict[str, Any]) -> None:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await self.let.wait()
        await asyncio.sleep(0)
        self.busy -= 1
        self.taken.append((manifest["involvedObject"]["name"], manifest["reason"]))


def run(number: int) -> dict[str, Any]:
    meta = {"namespace": "lab", "name": f"x-{number}", "uid": f"uid-{number}", "resourceVersion": "7"}
    return {"apiVersion": "v1", "kind": "EvolutionRun", "metadata": meta, "status": {}}


async def tell(events: Events, number: int) -> None:
    await events.tell(run(number), *(Event("Normal", reason, "") for reason in TOLD))


async def stop(publishing: asyncio.Task[None]) -> None:
    publishing.cancel()
    with suppress(asyncio.CancelledError):
        await publishing


def test_several_runs_events_are_published_at_once_and_each_runs_in_their_order() -> None:
    async def story() -> Slow:
        api = Slow()
        events = Events(api)
        publishing = asyncio.create_task(events.publish())
        for number in range(MANY):
            await tell(events, number)
        await asyncio.sleep(0.01)
        api.let.set()
        while len(api.taken) < MANY * len(TOLD):
            await asyncio.sleep(0.001)
        await stop(publishing)
        return api

    api = asyncio.run(story())
    assert api.busiest == AT_ONCE
    assert {name: [reason for told, reason in api.taken if told == name] for name, _ in api.taken} == {
        f"x-{number}": list(TOLD) for number in range(MANY)
    }


def test_what_waits_is_published_when_the_operator_stops() -> None:
    async def story() -> Slow:
        api = Slow()
        events = Events(api)
        for number in range(20):
            await tell(events, number)
        publishing = asyncio.create_task(events.publish())
        await asyncio.sleep(0.01)
        api.let.set()
        await stop(publishing)
        return api

    assert sorted(asyncio.run(story()).taken) == sorted((f"x-{number}", reason) for number in range(20) for reason in TOLD)


def test_who_tells_more_than_can_wait_waits() -> None:
    async def story() -> bool:
        events = Events(Slow())
        for _ in range(ENOUGH):
            await tell(events, 0)
        try:
            await asyncio.wait_for(tell(events, 0), timeout=0.02)
        except TimeoutError:
            return True
        return False

    assert asyncio.run(story())
