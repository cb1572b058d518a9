"""Whose turn it is: the order of turns, and that no wake is lost or served twice."""

import asyncio
import tracemalloc

from evolution_operator.cluster.workqueue import Key, WorkQueue

A, B, C = (Key("lab", name) for name in "abc")


async def nobody_is_due(workqueue: WorkQueue) -> bool:
    try:
        await asyncio.wait_for(workqueue.take(), timeout=0.02)
    except TimeoutError:
        return True
    return False


def test_the_oldest_wake_comes_first_and_a_run_is_in_line_once() -> None:
    async def story() -> list[Key]:
        workqueue = WorkQueue()
        for key in (B, A, B, C, A):
            workqueue.wake(key)
        turns = [await workqueue.take() for _ in range(3)]
        assert await nobody_is_due(workqueue)
        return turns

    assert asyncio.run(story()) == [B, A, C]


def test_a_run_that_was_served_waits_behind_those_that_were_not() -> None:
    async def story() -> list[Key]:
        workqueue = WorkQueue()
        workqueue.wake(A)
        workqueue.wake(B)
        first = await workqueue.take()
        workqueue.give_back(first)
        workqueue.wake(first)
        return [first, await workqueue.take(), await workqueue.take()]

    assert asyncio.run(story()) == [A, B, A]


def test_a_wake_of_a_run_under_way_makes_it_come_again_but_not_twice_at_once() -> None:
    async def story() -> None:
        workqueue = WorkQueue()
        workqueue.wake(A)
        assert await workqueue.take() == A
        workqueue.wake(A)
        assert await nobody_is_due(workqueue)
        workqueue.give_back(A)
        assert await workqueue.take() == A

    asyncio.run(story())


def test_the_earliest_wish_counts_and_a_later_one_does_not_delay_it() -> None:
    async def story() -> list[Key]:
        workqueue = WorkQueue()
        workqueue.wake(A, within_s=3600)
        workqueue.wake(B, within_s=0.01)
        workqueue.wake(B, within_s=3600)
        first = await workqueue.take()
        workqueue.wake(A)
        second = await workqueue.take()
        assert await nobody_is_due(workqueue)
        return [first, second]

    assert asyncio.run(story()) == [B, A]


def test_somebody_who_waits_is_told_of_a_wake() -> None:
    async def story() -> Key:
        workqueue = WorkQueue()
        turn = asyncio.create_task(workqueue.take())
        await asyncio.sleep(0)
        workqueue.wake(C)
        return await asyncio.wait_for(turn, timeout=10)

    assert asyncio.run(story()) == C


def test_a_run_that_is_due_and_not_served_shows_as_lag() -> None:
    async def story() -> None:
        workqueue = WorkQueue()
        assert workqueue.lag_s() == 0
        workqueue.wake(A, within_s=60)
        assert workqueue.lag_s() == 0
        workqueue.wake(B, within_s=-5)
        assert workqueue.lag_s() >= 5
        assert sorted(workqueue.known()) == [A, B]

    asyncio.run(story())


def test_it_is_quiet_when_no_turn_is_overdue_and_nobody_waits_for_ever() -> None:
    async def story() -> None:
        workqueue = WorkQueue()
        await asyncio.wait_for(workqueue.quiet(limit_s=60), timeout=10)
        workqueue.wake(A)
        waiting = asyncio.create_task(workqueue.quiet(limit_s=60))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await asyncio.wait_for(workqueue.quiet(limit_s=0.05), timeout=10)
        assert await workqueue.take() == A
        await asyncio.wait_for(waiting, timeout=10)

    asyncio.run(story())


def test_wishes_that_were_overtaken_by_news_are_not_kept() -> None:
    async def story(turns: int) -> int:
        workqueue = WorkQueue()
        workqueue.wake(B, within_s=3600)
        tracemalloc.start()
        for _ in range(turns):
            workqueue.wake(Key("lab", "a" * 40), within_s=3600)
            workqueue.wake(Key("lab", "a" * 40))
            workqueue.give_back(await workqueue.take())
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert workqueue.known() == [B]
        return size

    assert asyncio.run(story(5000)) < asyncio.run(story(500)) + 10_000
