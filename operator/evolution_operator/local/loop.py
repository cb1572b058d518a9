"""Carries a run through on this machine: look, plan, apply, wait, until the planner has nothing more to do.

The order of effects is the one that `Plan` states. It writes nothing before what it follows from is on disk, so that it may be
killed at any point; what it is called with is a folder that is locked and a run that may be honoured here.
"""

import os
import select
import signal
import time
from datetime import UTC, datetime
from typing import Protocol, Self

from evolution_api.run.resource import EvolutionRun
from evolution_api.run.spec import EvolutionRunSpec
from evolution_operator.interface import Event, Settings
from evolution_operator.lifecycle.planner import plan
from evolution_operator.local.cluster import LocalCluster
from evolution_operator.local.folder import RunFolder

LOOK_EVERY_S = 0.5
"""Between two looks at the logs for progress."""
ENDED = ("Succeeded", "Failed", "Suspended")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SUSPEND_SIGNAL = signal.SIGUSR1
"""`evolution run --suspend` sends it to the loop that holds the folder."""


class Watcher(Protocol):
    """Whoever shows what goes on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def note(self, text: str) -> None: ...

    def happened(self, now: datetime, event: Event) -> None: ...

    def look(self, now: datetime, run: EvolutionRun, cluster: LocalCluster, /) -> None:
        """Called often; the state may be the same as before."""


class Signals:
    """Counts the signals that ask the loop to stop or to suspend, and wakes its wait."""

    def __init__(self) -> None:
        self.stops = 0
        self.suspends = 0
        self.readable, self._writable = os.pipe()
        for end in (self.readable, self._writable):
            os.set_blocking(end, False)

    def __enter__(self) -> "Signals":
        self._wakeup = signal.set_wakeup_fd(self._writable, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._came) for number in (*STOP_SIGNALS, SUSPEND_SIGNAL)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        for end in (self.readable, self._writable):
            os.close(end)

    def _came(self, number: int, _frame: object) -> None:
        if number == SUSPEND_SIGNAL:
            self.suspends += 1
        else:
            self.stops += 1

    def wait(self, cluster: LocalCluster, timeout_s: float) -> None:
        """Until a signal, a program's beginning or end, or the time."""
        connection = cluster.node.programs.connection
        readable, _, _ = select.select([self.readable, *([connection.fileno()] if connection else [])], [], [], timeout_s)
        if self.readable in readable:
            os.read(self.readable, 4096)


class Loop:
    def __init__(self, run: EvolutionRun, folder: RunFolder, cluster: LocalCluster, settings: Settings, watcher: Watcher) -> None:
        # The clock of an attempt stands still while nobody works on it.
        self.run = run.model_copy(update={"status": run.status.model_copy(update={"stage_started": None})})
        self.folder = folder
        self.cluster = cluster
        self.settings = settings
        self.watcher = watcher

    def turn(self) -> EvolutionRun:
        """Go on until the run ends, is suspended, or a signal asks to stop; the last state of the run."""
        due, requeue_after_s = 0.0, None
        with Signals() as signals:
            try:
                while not signals.stops:
                    if signals.suspends and not self.run.spec.suspend:
                        self.change(self.run.spec.model_copy(update={"suspend": True}))
                        due = 0.0
                    now = datetime.now(UTC)
                    if self.cluster.step(now) or time.monotonic() >= due:
                        requeue_after_s = self.carry_out(now)
                        due = time.monotonic() + (float("inf") if requeue_after_s is None else requeue_after_s)
                    self.watcher.look(now, self.run, self.cluster)
                    if requeue_after_s is None and self.run.status.phase in ENDED and self.cluster.idle:
                        break
                    waits = (LOOK_EVERY_S, due - time.monotonic(), self.cluster.wake_after_s())
                    signals.wait(self.cluster, max(0.0, min(wait for wait in waits if wait is not None)))
                else:
                    self.leave(signals)
            finally:
                self.cluster.node.programs.close()
        return self.run

    def carry_out(self, now: datetime) -> float | None:
        """Do what the planner says; seconds until it wants to be asked again, whatever happens."""
        todo = plan(self.run, self.cluster.observed(), now, self.settings)
        for manifest in todo.apply:
            self.cluster.apply(manifest, now)
        metadata = self.run.metadata.model_copy(update={"finalizers": todo.finalizers})
        after = self.run.model_copy(update={"status": todo.status, "metadata": metadata})
        changed = after != self.run
        if changed:
            self.folder.save(after)
            self.run = after
        for ref in todo.delete:
            self.cluster.delete(ref, now)
        for event in todo.events:
            self.watcher.happened(now, event)
        # What was just written is news too, as it would be to a watch.
        return 0.0 if changed or todo.apply or todo.delete else todo.requeue_after_s

    def change(self, spec: EvolutionRunSpec) -> None:
        """A new spec, as `kubectl edit` would bring it."""
        metadata = self.run.metadata.model_copy(update={"generation": self.run.metadata.generation + 1})
        self.run = self.run.model_copy(update={"spec": spec, "metadata": metadata})
        self.folder.save(self.run)

    def leave(self, signals: Signals) -> None:
        """Every program gets SIGTERM and its grace period; a second signal cuts that short."""
        self.cluster.drain(datetime.now(UTC))
        while not self.cluster.drained(datetime.now(UTC)) and signals.stops < 2:
            signals.wait(self.cluster, LOOK_EVERY_S)
