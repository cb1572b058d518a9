"""How many requests a model server of ours holds at once; called by both servers. The event loop is one thread: no lock."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException
from prometheus_client import Counter, Gauge

from evolution_jobs.solver_api import TOO_MANY_REQUESTS

RETRY_AFTER_S = 1

WAITING = Gauge("evolution_solver_waiting_requests", "Requests admitted and not yet answered")
REFUSED = Counter("evolution_solver_refused_requests", "Requests refused because the queue was full")


class Admission:
    def __init__(self, most: int) -> None:
        self.most = most
        self.waiting = 0

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds a place; raises HTTPException where none is left."""
        if self.waiting >= self.most:
            REFUSED.inc()
            raise HTTPException(
                TOO_MANY_REQUESTS,
                f"{self.waiting} requests are waiting and this server admits {self.most}; ask again in {RETRY_AFTER_S} s",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        self.waiting += 1
        WAITING.set(self.waiting)
        try:
            yield
        finally:
            self.waiting -= 1
            WAITING.set(self.waiting)
