"""Which runs want to be looked at, and whose turn it is. Filled by the handlers and by time, emptied by the reconciler.

A run is in here at most once, however often it is woken. The oldest wish comes first, so that in a storm a run that has just
been served waits behind those that have not. A run that is being looked at is not handed out a second time: what wakes it
meanwhile makes it come again.
"""

import asyncio
import heapq
import time
from typing import NamedTuple

from evolution_operator.cluster.metrics import OVERDUE_SECONDS

POLL_S = 0.02
FEW = 64
"""Entries that are not worth tidying up."""


class Key(NamedTuple):
    namespace: str
    name: str


class WorkQueue:
    def __init__(self) -> None:
        self._due: dict[Key, float] = {}
        """Of every waiting run, the earliest time (monotonic, seconds) at which it wants to be looked at."""
        self._heap: list[tuple[float, Key]] = []
        """By time; an entry that `_due` does not confirm is out of date, and not taken out before most are."""
        self._busy: set[Key] = set()
        self._news = asyncio.Event()

    def wake(self, key: Key, within_s: float = 0.0) -> None:
        """Have the run looked at in so many seconds, or earlier if somebody asks for that."""
        due = time.monotonic() + within_s
        if key not in self._due or due < self._due[key]:
            self._due[key] = due
            self._push(due, key)

    async def take(self) -> Key:
        """Wait for the next turn; the run is the caller's until it gives it back."""
        while True:
            wait_s = None
            while self._heap:
                due, key = self._heap[0]
                if self._due.get(key) == due and key not in self._busy:
                    wait_s = due - time.monotonic()
                    break
                heapq.heappop(self._heap)
            if wait_s is not None and wait_s <= 0:
                heapq.heappop(self._heap)
                del self._due[key]
                self._busy.add(key)
                OVERDUE_SECONDS.observe(-wait_s)
                return key
            self._news.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                pass

    def give_back(self, key: Key) -> None:
        self._busy.remove(key)
        if key in self._due:
            self._push(self._due[key], key)

    async def quiet(self, limit_s: float) -> None:
        """Wait, but no longer than that, until no run's turn is overdue."""
        deadline = time.monotonic() + limit_s
        while self._heap and self._heap[0][0] <= time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)

    def known(self) -> list[Key]:
        """Runs that wait or are being looked at."""
        return [*self._due, *(self._busy - self._due.keys())]

    def lag_s(self) -> float:
        """How long the run whose turn is next has been waiting past its time, seconds."""
        waiting = [due for key, due in self._due.items() if key not in self._busy]
        return max(0.0, time.monotonic() - min(waiting, default=float("inf")))

    def _push(self, due: float, key: Key) -> None:
        if key in self._busy:
            return
        heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._due) + FEW:
            # Each look asks for the next one in minutes, and is mostly overtaken by news long before.
            self._heap = [(due, key) for key, due in self._due.items() if key not in self._busy]
            heapq.heapify(self._heap)
        self._news.set()
