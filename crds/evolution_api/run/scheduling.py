"""`spec.scheduling` and `spec.retry`: where pods may run, what they wait for, and what follows a failure."""

import re
from typing import Literal

from pydantic import Field

from evolution_api.run.quantities import LABEL, LABEL_KEY, SUBDOMAIN, LabelValue, ObjectName
from evolution_api.run.rules import Rule, Ruled


class Toleration(Ruled):
    key: str | None = Field(default=None, pattern=LABEL_KEY, max_length=317)
    """Taint key; None with operator Exists matches all."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint's value must equal `value`, or the taint only has to exist."""
    value: LabelValue | None = None
    """Taint value; None with operator Exists."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect that is tolerated; None means all."""

    rules = (
        Rule(
            "has(self.key) || self.operator == 'Exists'",
            lambda t: t.key is not None or t.operator == "Exists",
            "a toleration without a key needs operator Exists, and then tolerates every taint; set key, or operator: Exists",
        ),
        Rule(
            "!(has(self.value) && self.operator == 'Exists')",
            lambda t: t.value is None or t.operator != "Exists",
            "a toleration with operator Exists has no value, since any will do; leave value out, or use operator: Equal",
        ),
    )


class Scheduling(Ruled):
    """Where pods may run, and what they wait for."""

    accelerator: str = Field(default="nvidia.com/gpu", pattern=f"^(none|{SUBDOMAIN}/{LABEL})$", max_length=128)
    """Resource name of the accelerator that every pod with a model in it asks for; `none` runs on CPUs."""
    queue_name: str | None = Field(default=None, pattern=f"^{SUBDOMAIN}$", max_length=63)
    """Kueue LocalQueue that the run's children wait in; what runs beside a model server waits in none."""
    priority_class_name: ObjectName | None = None
    """PriorityClass of every pod."""
    service_account_name: ObjectName | None = None
    """ServiceAccount of every pod, by which a cloud lets it into the bucket; its token is not mounted. None means `default`."""
    node_selector: dict[str, LabelValue] = Field(default={}, max_length=32)
    """Labels that a node must have."""
    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that pods tolerate."""

    rules = (
        Rule(
            f"self.nodeSelector.all(key, key.matches(r'{LABEL_KEY}'))",
            lambda s: all(re.fullmatch(LABEL_KEY, key) for key in s.node_selector),
            "scheduling.nodeSelector has a key that no label can have; labels are called such as zone or example.com/pool",
        ),
    )


class Retry(Ruled):
    """What happens when a stage fails."""

    limit: int = Field(default=3, ge=0, le=100)
    """Further attempts of a stage that failed."""
    backoff_seconds: int = Field(default=10, ge=0, le=86_400)
    """Wait before the first further attempt; doubled each time."""
    max_backoff_seconds: int = Field(default=600, ge=0, le=86_400)
    """Longest wait."""
    stage_timeout_seconds: int | None = Field(default=None, ge=1, le=31_536_000)
    """Time limit of one attempt of a stage, the wait in a queue not counted; None means no limit."""

    rules = (
        Rule(
            "self.backoffSeconds <= self.maxBackoffSeconds",
            lambda s: s.backoff_seconds <= s.max_backoff_seconds,
            "retry.backoffSeconds must not exceed retry.maxBackoffSeconds; raise the latter",
        ),
    )
