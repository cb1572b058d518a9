"""Sorts what was observed: whose child it is, of which stage and attempt, which pods are its own, and whether it still
holds any.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from evolution_api.layout import LABEL_ATTEMPT, LABEL_ROLE, LABEL_ROUND, LABEL_RUN_UID, LABEL_STAGE, child_name
from evolution_api.run.resource import EvolutionRun
from evolution_api.stages import BY_NAME
from evolution_operator.children.inferenceservice import SUFFIX
from evolution_operator.children.registry import KINDS, is_alive, verdict
from evolution_operator.children.verdict import ABSENT, PODS_MISSING, Verdict, pod_is_active
from evolution_operator.interface import KubeObject, Observed, Ref
from evolution_operator.lifecycle.rounds import Place
from evolution_operator.manifests.catalogue import SERVER, WORK

MAKERS = frozenset(kind.kind for kind in KINDS if kind.owns_pods)
Identity = tuple[str, str, str, str]
"""Labels round, stage, attempt and role: what a child and its pods have in common."""


@dataclass(frozen=True)
class Child:
    raw: KubeObject
    place: Place | None
    """None for a stray: a child of this run whose labels, kind and name do not fit together."""
    attempt: int
    role: str
    pods: tuple[KubeObject, ...]
    alive: bool
    """Whether it still holds, or may come to hold, a pod."""
    events: tuple[KubeObject, ...]
    """What may say why its pods are missing; others' are among them."""

    @property
    def title(self) -> str:
        return f"{self.raw['kind']} {self.raw['metadata']['name']}"

    @property
    def terminating(self) -> bool:
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def finished(self) -> bool:
        return not is_alive(self.raw, ())

    @property
    def ref(self) -> Ref:
        meta = self.raw["metadata"]
        return Ref(self.raw["apiVersion"], self.raw["kind"], meta["namespace"], meta["name"], meta.get("uid", ""))

    @cached_property
    def verdict(self) -> Verdict:
        return verdict(self.raw, self.pods, self.events)


@dataclass(frozen=True)
class Family:
    children: tuple[Child, ...]
    orphans: tuple[KubeObject, ...]
    """Active pods of this run whose child is gone."""
    taken: frozenset[tuple[str, str]]
    """(kind, name) of what belongs to another run, or to none; never adopted, never deleted."""

    def find(self, place: Place, attempt: int, role: str) -> Child | None:
        for child in self.children:
            if child.place == place and child.attempt == attempt and child.role == role:
                return child
        return None

    def verdict(self, place: Place, attempt: int, role: str) -> Verdict:
        child = self.find(place, attempt, role)
        return child.verdict if child is not None else ABSENT

    def unheard(self, place: Place, attempt: int) -> bool:
        """Whether that attempt has ended and its pods do not tell of its success: they may have been read before it ended."""
        child = self.find(place, attempt, "work")
        return child is not None and child.finished and child.verdict.state != "Succeeded"

    def unexplained(self, now: datetime) -> bool:
        """Whether pods are missing, and nobody has looked yet for events that may say why."""
        verdicts = [child.verdict for child in self.children if child.alive and not child.events]
        return any(found.reason == PODS_MISSING and found.in_trouble(now) for found in verdicts)

    def attempts(self, place: Place) -> list[int]:
        """Attempts that this place has children of, ascending."""
        return sorted({child.attempt for child in self.children if child.place == place})

    def reaches_beyond(self, place: Place) -> bool:
        return any(
            c.place is not None and BY_NAME[c.place.stage].of_a_round and c.place.order > place.order for c in self.children
        )


def family_of(run: EvolutionRun, observed: Observed) -> Family:
    """Own is what carries the run's uid, in its label and in its owner reference where it has one."""
    uid = run.metadata.uid
    own = [raw for raw in observed.children if _belongs(raw, uid)]
    taken = frozenset((raw["kind"], raw["metadata"]["name"]) for raw in observed.children if not _belongs(raw, uid))
    by_identity: dict[Identity, list[KubeObject]] = defaultdict(list)
    for raw in own:
        by_identity[_identity(raw)].append(raw)
    pods: dict[str, list[KubeObject]] = defaultdict(list)
    orphans = []
    for pod in observed.pods:
        if pod["metadata"].get("labels", {}).get(LABEL_RUN_UID) != uid:
            continue
        parent = next((raw for raw in by_identity.get(_identity(pod), ()) if _made_by(pod, raw)), None)
        if parent is not None:
            pods[parent["metadata"]["name"]].append(pod)
        elif pod_is_active(pod):
            orphans.append(pod)
    children = tuple(_child(run.metadata.name, raw, tuple(pods[raw["metadata"]["name"]]), observed.events) for raw in own)
    return Family(children, tuple(orphans), taken)


def _belongs(raw: KubeObject, uid: str) -> bool:
    meta = raw["metadata"]
    owners = meta.get("ownerReferences") or ()
    return meta.get("labels", {}).get(LABEL_RUN_UID) == uid and (not owners or any(o.get("uid") == uid for o in owners))


def _made_by(pod: KubeObject, child: KubeObject) -> bool:
    """Most pods name their maker; others belong to a ReplicaSet, which says nothing here."""
    makers = [o for o in pod["metadata"].get("ownerReferences") or () if o.get("kind") in MAKERS]
    return all(o.get("uid") == child["metadata"].get("uid") for o in makers)


def _identity(raw: KubeObject) -> Identity:
    labels = raw["metadata"].get("labels", {})
    return (
        labels.get(LABEL_ROUND, ""),
        labels.get(LABEL_STAGE, ""),
        labels.get(LABEL_ATTEMPT, ""),
        labels.get(LABEL_ROLE, ""),
    )


def _child(run: str, raw: KubeObject, pods: tuple[KubeObject, ...], events: tuple[KubeObject, ...]) -> Child:
    round_, stage_name, attempt, role = _identity(raw)
    alive = is_alive(raw, pods)
    stage = BY_NAME.get(stage_name)
    if stage is None or not (round_.isdigit() and attempt.isdigit()) or role not in ("work", "server"):
        return Child(raw, None, 0, role, pods, alive, events)
    kind = WORK[stage.name].kind if role == "work" else SERVER.kind
    name = child_name(run, int(round_), stage.name, int(attempt), SUFFIX if role == "server" else "")
    fits = raw["kind"] == kind.kind and raw["metadata"]["name"] == name
    return Child(raw, Place(int(round_), stage.name) if fits else None, int(attempt), role, pods, alive, events)


def named(things: Iterable[Child | KubeObject]) -> str:
    """A few names in words, for a message that stays the same while they stay."""
    names = sorted(t.title if isinstance(t, Child) else f"Pod {t['metadata']['name']}" for t in things)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
