"""Whose turn it is: the order of turns, and that no wake is lost or served twice."""

import asyncio
import tracemalloc

from evolution_operator.cluster.wakes import Key, Wakes

A, B, C = (Key("lab", name) for name in "abc")


async def nobody_is_due(wakes: Wakes) -> bool:
    try:
        await asyncio.wait_for(wakes.take(), timeout=0.02)
    except TimeoutError:
        return True
    return False


def test_the_oldest_wake_comes_first_and_a_run_is_in_line_once() -> None:
    async def story() -> list[Key]:
        wakes = Wakes()
        for key in (B, A, B, C, A):
            wakes.wake(key)
        turns = [await wakes.take() for _ in range(3)]
        assert await nobody_is_due(wakes)
        return turns

    assert asyncio.run(story()) == [B, A, C]


def test_a_run_that_was_served_waits_behind_those_that_were_not() -> None:
    async def story() -> list[Key]:
        wakes = Wakes()
        wakes.wake(A)
        wakes.wake(B)
        first = await wakes.take()
        wakes.give_back(first)
        wakes.wake(first)
        return [first, await wakes.take(), await wakes.take()]

    assert asyncio.run(story()) == [A, B, A]


def test_a_wake_of_a_run_under_way_makes_it_come_again_but_not_twice_at_once() -> None:
    async def story() -> None:
        wakes = Wakes()
        wakes.wake(A)
        assert await wakes.take() == A
        wakes.wake(A)
        assert await nobody_is_due(wakes)
        wakes.give_back(A)
        assert await wakes.take() == A

    asyncio.run(story())


def test_the_earliest_wish_counts_and_a_later_one_does_not_delay_it() -> None:
    async def story() -> list[Key]:
        wakes = Wakes()
        wakes.wake(A, within_s=3600)
        wakes.wake(B, within_s=0.01)
        wakes.wake(B, within_s=3600)
        first = await wakes.take()
        wakes.wake(A)
        second = await wakes.take()
        assert await nobody_is_due(wakes)
        return [first, second]

    assert asyncio.run(story()) == [B, A]


def test_somebody_who_waits_is_told_of_a_wake() -> None:
    async def story() -> Key:
        wakes = Wakes()
        turn = asyncio.create_task(wakes.take())
        await asyncio.sleep(0)
        wakes.wake(C)
        return await asyncio.wait_for(turn, timeout=10)

    assert asyncio.run(story()) == C


def test_a_run_that_is_due_and_not_served_shows_as_lag() -> None:
    async def story() -> None:
        wakes = Wakes()
        assert wakes.lag_s() == 0
        wakes.wake(A, within_s=60)
        assert wakes.lag_s() == 0
        wakes.wake(B, within_s=-5)
        assert wakes.lag_s() >= 5
        assert sorted(wakes.known()) == [A, B]

    asyncio.run(story())


def test_it_is_quiet_when_no_turn_is_overdue_and_nobody_waits_for_ever() -> None:
    async def story() -> None:
        wakes = Wakes()
        await asyncio.wait_for(wakes.quiet(limit_s=60), timeout=10)
        wakes.wake(A)
        waiting = asyncio.create_task(wakes.quiet(limit_s=60))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await asyncio.wait_for(wakes.quiet(limit_s=0.05), timeout=10)
        assert await wakes.take() == A
        await asyncio.wait_for(waiting, timeout=10)

    asyncio.run(story())


def test_wishes_that_were_overtaken_by_news_are_not_kept() -> None:
    async def story(turns: int) -> int:
        wakes = Wakes()
        wakes.wake(B, within_s=3600)
        tracemalloc.start()
        for _ in range(turns):
            wakes.wake(Key("lab", "a" * 40), within_s=3600)
            wakes.wake(Key("lab", "a" * 40))
            wakes.give_back(await wakes.take())
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert wakes.known() == [B]
        return size

    assert asyncio.run(story(5000)) < asyncio.run(story(500)) + 10_000
