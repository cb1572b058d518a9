"""Looks at one run after another: what is there, the plan, its effects in the order that `Plan` states. Started by `__main__`.

Nothing that decides is remembered between two looks but how often in a row the same request for a run was refused, and how new
what is read has to be at least. A look is followed by another one where its plan would do more about what it left behind; else a
run is looked at when it is woken, when its plan asked for it, and from time to time in case a wake was lost; for the wake of a
run that nobody has heard of, or that says something new, all are listed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ValidationError

from evolution_api.explain import sentences
from evolution_api.layout import ANNOTATION_RESUME, API_VERSION, FINALIZER, KIND, LABEL_RUN_UID
from evolution_api.run.resource import EvolutionRun
from evolution_operator.children.registry import KINDS
from evolution_operator.children.verdict import plain
from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.cluster.api_errors import NAMESPACE_TERMINATING, Refusal, refusal_of, wait_s
from evolution_operator.cluster.cached_reads import CachedReads
from evolution_operator.cluster.events import Events, where
from evolution_operator.cluster.metrics import LOOK_SECONDS, PLAN_SECONDS, count_decision, count_run
from evolution_operator.cluster.stored_status import as_json, difference, not_progressing, said
from evolution_operator.cluster.workqueue import Key, WorkQueue
from evolution_operator.interface import Event, KubeObject, Observed, Plan, Settings
from evolution_operator.lifecycle.planner import plan
from evolution_operator.pod import run_label

PODS = ("v1", "Pod")
GONE_S = 1.0
"""After which what was deleted is looked for, where nobody said that it is gone."""
CONCURRENT = 32
"""Runs that are read, and get their next child, at once: enough to keep a core busy while lists are waited for."""
CONCURRENT_WRITES = 8
"""Runs whose status is written at once: few, for it costs the API server more than all the rest, and the other runs wait."""
LONGEST_DEFERRAL_S = 0.5
"""For which such a write waits at most while other runs want their turn: in a storm all get their next child first."""
ENDED = ("Succeeded", "Failed")
ENDED_RESYNC_FACTOR = 30
"""How many times less often a run that has ended is looked at when nothing woke it."""

log = logging.getLogger(__name__)


class RunGoneError(Exception):
    """The run itself is not there any more."""


class Reconciler:
    def __init__(self, api: Api, workqueue: WorkQueue, settings: Settings, resync_s: float, namespaces: Sequence[str]) -> None:
        self._api = api
        self._workqueue = workqueue
        self._settings = settings
        self._resync_s = resync_s
        """Between two looks at a live run that nothing woke, and between two lists of all runs."""
        self._namespaces = namespaces
        self._refused: dict[Key, tuple[str, int]] = {}
        """What was refused last for a run, and how often in a row."""
        self._events = Events(api)
        self.recent = CachedReads(api)
        self._writing = asyncio.Semaphore(CONCURRENT_WRITES)
        self._known: dict[Key, int] = {}
        """Digest of what a look last saw of what is not the operator's own to write in a run."""

    async def work(self) -> None:
        """Take turns for ever."""
        slots = asyncio.Semaphore(CONCURRENT)
        async with asyncio.TaskGroup() as turns:
            turns.create_task(self._events.publish())
            turns.create_task(self._find())
            while True:
                await slots.acquire()
                key = await self._workqueue.take()
                turns.create_task(self._turn(key, slots))

    async def _find(self) -> None:
        """Wake the runs whose news was lost: a watch that breaks off is continued, and what is there is not listed again."""
        while True:
            await asyncio.sleep(self._resync_s)
            try:
                for namespace in self._namespaces:
                    async for page in self._api.metadata(API_VERSION, KIND, namespace):
                        for raw in page:
                            if not self.knows(raw):
                                # Its look must find it, whichever API server answers; metadata alone says another kind.
                                self.recent.heard({**raw, "kind": KIND})
                                self._workqueue.wake(Key(raw["metadata"]["namespace"], raw["metadata"]["name"]))
            except ApiError as error:
                log.warning("%s", error)

    async def _turn(self, key: Key, slots: asyncio.Semaphore) -> None:
        with ExitStack() as slot:
            slot.callback(slots.release)
            try:
                with LOOK_SECONDS.time():
                    again_s = await self._look(key, slot)
            finally:
                self._workqueue.give_back(key)
            if again_s is not None:
                self._workqueue.wake(key, again_s)

    async def _look(self, key: Key, slot: ExitStack) -> float | None:
        """One look at a run; seconds until the next one is due by itself, None for a run that is gone.

        `slot` is closed as soon as another run may have its turn: a child is awaited by its run, a status only by people.
        """
        raw: KubeObject | None = None
        try:
            raw = await _unless_gone(self.recent.run(key.namespace, key.name))
            self._known[key] = _wish(raw)
            count_run(key, said(raw, "phase") or "Pending")
            again_s = await self._carry_out(raw, slot)
        except RunGoneError:
            self._refused.pop(key, None)
            self._known.pop(key, None)
            count_run(key, None)
            return None
        except ApiError as error:
            doing, times = self._refused.get(key, ("", 0))
            times = times + 1 if doing == error.doing else 1
            self._refused[key] = error.doing, times
            log.warning("%s", error, extra=where(raw) if raw else _named(key))
            refusal = refusal_of(error)
            # What passes by itself is not told the first time: it is mostly gone at the second try.
            if raw is not None and (times > 1 or not refusal.passes):
                await self._tell(raw, refusal)
            return wait_s(error, times)
        except Exception as error:
            # A fault of ours with one run must not stop the others.
            log.exception("the operator failed over this run", extra=where(raw) if raw else _named(key))
            if raw is not None:
                why = f"the operator failed over this run, and its log says where: {plain(repr(error))}; please report it"
                await self._tell(raw, Refusal("OperatorError", why, passes=False))
            return self._resync_s
        self._refused.pop(key, None)
        if again_s is not None:
            return min(again_s, self._resync_s)
        ended = said(raw, "phase") in ENDED
        return self._resync_s * (ENDED_RESYNC_FACTOR if ended else 1)

    def knows(self, raw: KubeObject) -> bool:
        """Whether a look has seen all that this run says; its status, which is the operator's own, left aside."""
        return self._known.get(Key(raw["metadata"]["namespace"], raw["metadata"]["name"])) == _wish(raw)

    async def _carry_out(self, raw: KubeObject, slot: ExitStack) -> float | None:
        """Seconds until the plan wants to be made again; None where only news can change it."""
        now = datetime.now(UTC)
        run = parsed(raw)
        if isinstance(run, str):
            await self._refuse(raw, run)
            return None
        observed = await self._observe(run)
        with PLAN_SECONDS.time():
            todo = plan(run, observed, now, self._settings)
        if todo.unheard:
            observed = replace(observed, pods=tuple(await self.recent.of_run(*PODS, *_of(run), live=True)))
            todo = plan(run, observed, now, self._settings)
        if todo.unexplained:
            observed = replace(observed, events=await self._warnings(run))
            todo = plan(run, observed, now, self._settings)
        before = run.metadata.finalizers
        if len(todo.finalizers) > len(before):
            raw, before = await self._write_finalizers(raw, todo.finalizers), todo.finalizers
        made = [await self._create(manifest, run) for manifest in todo.apply]
        again_s = self._wanted_after(run, todo, observed, made, now)
        # Hundreds may wait here in a storm: with no more than what is still to be written.
        todo = replace(todo, apply=())
        change = difference(raw.get("status") or {}, as_json(todo.status))
        raw = newest = _light(raw)
        del observed, made, run
        if not change:  # and so nothing that the status has to hold first
            await self._delete(todo)
        slot.close()
        if change or todo.finalizers != before:
            async with self._writing:
                await self._workqueue.quiet(LONGEST_DEFERRAL_S)
                if change:
                    newest = await self._merge(raw, {"status": change}, "status")
                    count_decision(raw, todo.status, todo.events)
                    await self._delete(todo)
                if todo.finalizers != before:
                    newest = await self._write_finalizers(newest, todo.finalizers)
        await self._events.tell(newest, *todo.events)
        return again_s

    def _wanted_after(
        self, run: EvolutionRun, done: Plan, observed: Observed, made: Sequence[KubeObject], now: datetime
    ) -> float | None:
        """Seconds until the next look at what `done` leaves behind: none, if the plan would do more about what should be there.

        Nothing is carried out from here: whether it is there is read by that look. That what was deleted is gone is heard.
        """
        if not _changes(done, run):
            return done.requeue_after_s
        gone = {ref.uid for ref in done.delete}
        children = [child for child in (*observed.children, *made) if child["metadata"]["uid"] not in gone]
        pods = [pod for pod in observed.pods if gone.isdisjoint(o["uid"] for o in pod["metadata"].get("ownerReferences", ()))]
        metadata = run.metadata.model_copy(update={"finalizers": done.finalizers})
        later = run.model_copy(update={"status": done.status, "metadata": metadata})
        left = replace(observed, children=tuple(children), pods=tuple(pods))
        more = plan(later, left, now, self._settings)
        if not _changes(more, later):
            return more.requeue_after_s
        return GONE_S if done.delete else 0.0

    async def _observe(self, run: EvolutionRun) -> Observed:
        """Children before pods: a child ends after its pods have."""
        lists = await asyncio.gather(*(self.recent.of_run(kind.api_version, kind.kind, *_of(run)) for kind in KINDS))
        pods = await self.recent.of_run(*PODS, *_of(run))
        return Observed(tuple(child for found in lists for child in found), tuple(pods))

    async def _warnings(self, run: EvolutionRun) -> tuple[KubeObject, ...]:
        """What controllers say of what they could not make, where the operator may read it."""
        about = "type=Warning,involvedObject.kind!=Pod"
        try:
            return tuple(await self._api.list_known("v1", "Event", run.metadata.namespace, fieldSelector=about))
        except ApiError as error:
            if error.status != 403:
                raise
            log.warning("%s", error, extra=_named(Key(run.metadata.namespace, run.metadata.name)))
            return ()

    async def _create(self, manifest: KubeObject, run: EvolutionRun) -> KubeObject:
        """The child, made now; or by an earlier look or another replica, where one of that name is this run's own."""
        try:
            child = await self._api.create(manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            meta = manifest["metadata"]
            child = await self._api.get(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])
            if child["metadata"].get("labels", {}).get(LABEL_RUN_UID) != run.metadata.uid:
                message = "one of that name exists and belongs to another run, or to none"
                raise ApiError(error.doing, 409, "ChildOfAnotherRun", message) from error
        self.recent.heard(child)
        return child

    async def _delete(self, todo: Plan) -> None:
        await asyncio.gather(*(self._api.delete(ref) for ref in todo.delete))

    async def _write_finalizers(self, raw: KubeObject, finalizers: Sequence[str]) -> KubeObject:
        return await self._merge(raw, {"metadata": {"finalizers": list(finalizers)}})

    async def _merge(self, raw: KubeObject, change: KubeObject, subresource: str = "") -> KubeObject:
        newest = await _unless_gone(self._api.merge(raw, change, subresource))
        self.recent.heard(newest)
        meta = newest["metadata"]
        key = Key(meta["namespace"], meta["name"])
        self._known[key] = _wish(newest)
        count_run(key, said(newest, "phase") or "Pending")
        return newest

    async def _refuse(self, raw: KubeObject, why: str) -> None:
        """Of a run whose spec cannot be worked on nothing is touched, but its deletion does not hang on it."""
        await self._let_go(await self._say(raw, Refusal("SpecInvalid", why, passes=False)), why)

    async def _let_go(self, raw: KubeObject, why: str) -> None:
        """A run that is being deleted goes without its objects in storage being deleted."""
        meta = raw["metadata"]
        if "deletionTimestamp" in meta and FINALIZER in meta.get("finalizers", ()):
            kept = [finalizer for finalizer in meta["finalizers"] if finalizer != FINALIZER]
            newest = await self._write_finalizers(raw, kept)
            message = f"the run's objects in storage were not deleted, delete them by hand: {why}"
            await self._events.tell(newest, Event("Warning", "StorageLeftBehind", message))

    async def _tell(self, raw: KubeObject, refusal: Refusal) -> None:
        try:
            told = await self._say(raw, refusal)
            if refusal.reason == NAMESPACE_TERMINATING:
                await self._let_go(told, refusal.message)
        except RunGoneError:
            return
        except ApiError as error:
            log.warning("%s", error, extra=where(raw))

    async def _say(self, raw: KubeObject, refusal: Refusal) -> KubeObject:
        """Progressing=False with the refusal's reason and message; an event where the reason is a new one."""
        reason, message = refusal.reason, refusal.message
        status = not_progressing(raw, reason, message, datetime.now(UTC), passes=refusal.passes)
        change = difference(raw.get("status") or {}, status)
        newest = await self._merge(raw, {"status": change}, "status") if change else raw
        if all((c["type"], c["reason"]) != ("Progressing", reason) for c in said(raw, "conditions") or ()):
            await self._events.tell(newest, Event("Warning", reason, message))
        return newest


async def _unless_gone(about_run: Awaitable[KubeObject]) -> KubeObject:
    """What comes of reading or writing a run itself.

    A look may begin with a run that has gone: the one before took its last finalizer, and the API server's cache still has it.
    """
    try:
        return await about_run
    except ApiError as error:
        if error.status == 404:
            raise RunGoneError from error
        raise


def _changes(todo: Plan, run: EvolutionRun) -> bool:
    """Whether carrying it out would change anything of the run or its children."""
    same = todo.finalizers == run.metadata.finalizers and as_json(todo.status) == as_json(run.status)
    return bool(todo.apply or todo.delete) or not same


def _wish(raw: KubeObject) -> int:
    """Digest of what the plan reads of a run beside its status."""
    meta = raw["metadata"]
    resume = meta.get("annotations", {}).get(ANNOTATION_RESUME)
    return hash((meta["uid"], meta.get("generation"), meta.get("deletionTimestamp"), *meta.get("finalizers", ()), resume))


def _light(raw: KubeObject) -> KubeObject:
    """A run without what is large in it and not needed to write about it."""
    return {**raw, "spec": {}, "metadata": {**raw["metadata"], "managedFields": []}}


def _of(run: EvolutionRun) -> tuple[str, str]:
    """Namespace and label of a run's children and pods."""
    return run.metadata.namespace, run_label(run.metadata.name)


def _named(key: Key) -> dict[str, str]:
    return {"namespace": key.namespace, "run": key.name}


def parsed(raw: KubeObject) -> EvolutionRun | str:
    """The run, or what is wrong with its spec. A status that does not fit is left out: the planner makes it anew."""
    try:
        run = EvolutionRun.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        if all(fault["loc"][:1] == ("status",) for fault in error.errors()):
            log.warning("the run's status is not understood and made anew: %s", sentences(error)[0], extra=where(raw))
            return parsed({**raw, "status": {}})
        why = "; ".join(sentences(error)[:3])
        return f"{why}; correct the spec, or install the CRD and the operator of the same version"
    uri = run.spec.storage.uri
    if not uri.startswith("s3://"):
        return f'spec.storage.uri = "{uri}": the pods of a run share no folder; make the run anew with s3://bucket/prefix'
    return run
