"""What goes into `plan()` and what comes out of it; the adapters and the planner meet here and nowhere else.

Nothing in this module knows where the facts come from or how a plan is carried out.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from evolution_api.run.status import EvolutionRunStatus

KubeObject = dict[str, Any]
"""A Kubernetes object as JSON has it."""


@dataclass(frozen=True)
class PodExtras:
    """What every pod of every run gets besides its own, as Kubernetes has it: a proxy's address, a volume of certificates."""

    env: tuple[KubeObject, ...] = ()
    """Below what a run says for its pods, and below the operator's own."""
    volumes: tuple[KubeObject, ...] = ()
    volume_mounts: tuple[KubeObject, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What the operator was installed with, the same for every run."""

    jobs_image: str = "evolution-jobs:0.1.0"
    """Image of the programs that load no model: prepare, generate, probe, cleanup."""
    model_image: str = "evolution-train:0.1.0"
    """Image of the programs that load a model: serve, train, evaluate, and generate where it loads its proposer."""
    deployment_mode: str = "Standard"
    """KServe's name for plain Deployments; releases before the renaming know only RawDeployment."""
    pods: PodExtras = field(default_factory=PodExtras)


@dataclass(frozen=True)
class Observed:
    """What is there now: what has the label `evolution.spatial.io/run` = `run_label(name)`, so that leftovers of an earlier run
    of that name are seen too."""

    children: tuple[KubeObject, ...] = ()
    """Of all kinds, raw."""
    pods: tuple[KubeObject, ...] = ()
    """Pods, raw; those whose child is already gone included."""
    events: tuple[KubeObject, ...] = ()
    """Warnings about anything but pods, raw: only where a plan was `unexplained` without them."""


@dataclass(frozen=True)
class Ref:
    """An object to delete; `uid` is a precondition, so that a namesake made meanwhile survives."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Event:
    type: Literal["Normal", "Warning"]
    reason: str
    """CamelCase, one of those in the life cycle's documentation."""
    message: str
    cause: str = ""
    """Of a failure: its reason, CamelCase (OOMKilled, DeadlineExceeded ...)."""
    once: bool = False
    """Told once an attempt, however often it comes back."""


@dataclass(frozen=True)
class Plan:
    """What to do, in this order: set the finalizers that are new, apply, write the status, delete, drop the finalizers that have
    to go, publish the events.

    The order is what makes a crash between any two steps harmless: nothing is stored by a run that could be deleted without its
    storage, a child that was made before its status was written is found again by its name, and a child is deleted only once
    the status holds what it said.
    """

    status: EvolutionRunStatus
    finalizers: tuple[str, ...]
    """All finalizers that the run's metadata should carry afterwards."""
    apply: tuple[KubeObject, ...] = ()
    """Children to create. Children are write-once: one that exists is never in here."""
    delete: tuple[Ref, ...] = ()
    """Children to delete, with their pods (background propagation)."""
    events: tuple[Event, ...] = ()
    requeue_after_s: float | None = None
    """Plan again after this many seconds, even if nothing happens; None: only when something does."""
    unheard: bool = False
    """A child has ended, but not all of its pods were seen to: better carry out the plan that is made with pods read later."""
    unexplained: bool = False
    """Pods are missing: better carry out the plan that is made with the `events` that may say why."""
