"""Looks at one run after another: live reads, the plan, and its effects in the order that `Plan` states. Started by `__main__`.

Nothing is remembered between two looks but how often in a row the same request for a run was refused. A look that changed
something is followed by another one, until there is nothing to do; after that a run is looked at when it is woken, when its
plan asked for it, and from time to time in case a wake was lost.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from evolution_api.explain import sentences
from evolution_api.layout import API_VERSION, FINALIZER, KIND, LABEL_RUN, LABEL_RUN_UID
from evolution_api.run import EvolutionRun
from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.cluster.events import publish, where
from evolution_operator.cluster.metrics import LOOK_SECONDS, PLAN_SECONDS, count_decision, count_run
from evolution_operator.cluster.refusals import Refusal, refusal_of, wait_s
from evolution_operator.cluster.stored import as_json, difference, not_progressing, said
from evolution_operator.cluster.wakes import Key, Wakes
from evolution_operator.interface import Event, KubeObject, Observed, Settings
from evolution_operator.manifests.pod import run_label
from evolution_operator.planner import plan
from evolution_operator.verdicts import plain

CHILDREN = (("batch/v1", "Job"), ("kubeflow.org/v1", "PyTorchJob"), ("serving.kserve.io/v1beta1", "InferenceService"))
CONCURRENT = 16
"""Runs that are looked at at once."""
ENDED = ("Succeeded", "Failed")
ENDED_RESYNC_FACTOR = 30
"""How many times less often a run that has ended is looked at when nothing woke it."""

log = logging.getLogger(__name__)


class Reconciler:
    def __init__(self, api: Api, wakes: Wakes, settings: Settings, resync_s: float) -> None:
        self._api = api
        self._wakes = wakes
        self._settings = settings
        self._resync_s = resync_s
        """Between two looks at a live run that nothing woke."""
        self._refused: dict[Key, tuple[str, int]] = {}
        """What was refused last for a run, and how often in a row."""
        self._written: dict[Key, str] = {}
        """Version of a run that we wrote last, which is no news when the watch shows it."""

    async def work(self) -> None:
        """Take turns for ever."""
        slots = asyncio.Semaphore(CONCURRENT)
        async with asyncio.TaskGroup() as turns:
            while True:
                await slots.acquire()
                key = await self._wakes.take()
                turns.create_task(self._turn(key)).add_done_callback(lambda _: slots.release())

    async def _turn(self, key: Key) -> None:
        try:
            with LOOK_SECONDS.time():
                again_s = await self.look(key)
        finally:
            self._wakes.give_back(key)
        if again_s is not None:
            self._wakes.wake(key, again_s)

    async def look(self, key: Key) -> float | None:
        """One look at a run; seconds until the next one is due by itself, None for a run that is gone."""
        raw: KubeObject | None = None
        try:
            raw = await self._api.get(API_VERSION, KIND, key.namespace, key.name)
            count_run(key, said(raw, "phase") or "Pending")
            again_s = await self._carry_out(raw)
        except ApiError as error:
            if raw is None and error.status == 404:
                self._refused.pop(key, None)
                self._written.pop(key, None)
                count_run(key, None)
                return None
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

    def wrote(self, key: Key, version: str) -> bool:
        return self._written.get(key) == version

    async def _carry_out(self, raw: KubeObject) -> float | None:
        """Seconds until the plan wants to be made again; None where only news can change it."""
        now = datetime.now(UTC)
        run = parsed(raw)
        if isinstance(run, str):
            await self._refuse(raw, run)
            return None
        observed = await self._observe(run)
        with PLAN_SECONDS.time():
            todo = plan(run, observed, now, self._settings)
        for manifest in todo.apply:
            await self._create(manifest, run)
        newest = await self._write_status(raw, as_json(todo.status))
        count_decision(raw, todo.status, todo.events)
        await asyncio.gather(*(self._api.delete(ref) for ref in todo.delete))
        if todo.finalizers != run.metadata.finalizers:
            newest = await self._write_finalizers(newest, todo.finalizers)
        await publish(self._api, newest, todo.events)
        changed = newest["metadata"]["resourceVersion"] != raw["metadata"]["resourceVersion"] or todo.apply or todo.delete
        return 0.0 if changed else todo.requeue_after_s

    async def _observe(self, run: EvolutionRun) -> Observed:
        """Children before pods, as `Observed` asks for."""
        namespace, selector = run.metadata.namespace, f"{LABEL_RUN}={run_label(run.metadata.name)}"
        lists = await asyncio.gather(*(self._api.list(*kind, namespace, selector) for kind in CHILDREN))
        pods = await self._api.list("v1", "Pod", namespace, selector)
        return Observed(tuple(child for found in lists for child in found), tuple(pods))

    async def _create(self, manifest: KubeObject, run: EvolutionRun) -> None:
        """Create a child; one of that name that is this run's own was made by an earlier look, or by another replica."""
        try:
            await self._api.create(manifest)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            meta = manifest["metadata"]
            there = await self._api.get(manifest["apiVersion"], manifest["kind"], meta["namespace"], meta["name"])
            if there["metadata"].get("labels", {}).get(LABEL_RUN_UID) != run.metadata.uid:
                message = "one of that name exists and belongs to another run, or to none"
                raise ApiError(error.doing, 409, "ChildOfAnotherRun", message) from error

    async def _write_status(self, raw: KubeObject, status: KubeObject) -> KubeObject:
        change = difference(raw.get("status") or {}, status)
        return await self._merge(raw, {"status": change}, "status") if change else raw

    async def _write_finalizers(self, raw: KubeObject, finalizers: Sequence[str]) -> KubeObject:
        return await self._merge(raw, {"metadata": {"finalizers": list(finalizers)}})

    async def _merge(self, raw: KubeObject, change: KubeObject, subresource: str = "") -> KubeObject:
        newest = await self._api.merge(raw, change, subresource)
        meta = newest["metadata"]
        key = Key(meta["namespace"], meta["name"])
        self._written[key] = meta["resourceVersion"]
        count_run(key, said(newest, "phase") or "Pending")
        return newest

    async def _refuse(self, raw: KubeObject, why: str) -> None:
        """Of a run whose spec cannot be worked on nothing is touched, but its deletion does not hang on it."""
        raw = await self._say(raw, Refusal("SpecInvalid", why, passes=False))
        meta = raw["metadata"]
        if "deletionTimestamp" in meta and FINALIZER in meta.get("finalizers", ()):
            kept = [finalizer for finalizer in meta["finalizers"] if finalizer != FINALIZER]
            newest = await self._write_finalizers(raw, kept)
            message = f"the run's objects in storage were not deleted, delete them by hand: {why}"
            await publish(self._api, newest, (Event("Warning", "StorageLeftBehind", message),))

    async def _tell(self, raw: KubeObject, refusal: Refusal) -> None:
        try:
            await self._say(raw, refusal)
        except ApiError as error:
            log.warning("%s", error, extra=where(raw))

    async def _say(self, raw: KubeObject, refusal: Refusal) -> KubeObject:
        """Progressing=False with the refusal's reason and message; an event where the reason is a new one."""
        reason, message = refusal.reason, refusal.message
        status = not_progressing(raw, reason, message, datetime.now(UTC), passes=refusal.passes)
        newest = await self._write_status(raw, status)
        if all((c["type"], c["reason"]) != ("Progressing", reason) for c in said(raw, "conditions") or ()):
            await publish(self._api, newest, (Event("Warning", reason, message),))
        return newest


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
