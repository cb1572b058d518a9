"""What a user may say about the pods of a stage."""

from pydantic import Field

from evolution_api.run.quantities import Quantity, amount
from evolution_api.run.rules import Rule, Ruled


class EnvVar(Ruled):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)
    """Name of the variable; names that start with EVOLUTION_ are the operator's."""
    value: str = Field(max_length=4096)
    """Its value."""

    rules = (
        Rule(
            "!self.name.startsWith('EVOLUTION_')",
            lambda v: not v.name.startswith("EVOLUTION_"),
            "variables whose names start with EVOLUTION_ are the operator's own; choose another name",
        ),
    )


class ResourceAmounts(Ruled):
    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    """Kubernetes resource requests, e.g. cpu: "4", memory: 16Gi."""
    limits: dict[str, Quantity] = Field(default={}, max_length=16)
    """Kubernetes resource limits; accelerators are set by the operator and cannot be named here."""

    rules = (
        Rule(
            "self.requests.all(name, name in ['cpu', 'memory', 'ephemeral-storage']) && "
            "self.limits.all(name, name in ['cpu', 'memory', 'ephemeral-storage'])",
            lambda r: {*r.requests, *r.limits} <= {"cpu", "memory", "ephemeral-storage"},
            "resources.requests and resources.limits take only cpu, memory and ephemeral-storage: accelerators follow from "
            "scheduling.accelerator and the number of processes; leave the others out",
        ),
        Rule(
            "self.requests.all(name, !(name in self.limits) || "
            "quantity(self.requests[name]).compareTo(quantity(self.limits[name])) <= 0)",
            lambda r: all(amount(r.requests[name]) <= amount(r.limits[name]) for name in {*r.requests} & {*r.limits}),
            "resources.requests must not exceed resources.limits; lower the former",
        ),
    )


class PodTemplate(Ruled):
    """What a user may say about the pods of a stage; everything else is the operator's."""

    image: str | None = Field(default=None, pattern=r"^\S+$", max_length=512)
    """Image of the stage's program; None means the one that the operator was installed with."""
    resources: ResourceAmounts = ResourceAmounts()
    """CPU and memory."""
    env: tuple[EnvVar, ...] = Field(default=(), max_length=64)
    """Further environment variables."""

    rules = (
        Rule(
            "self.env.all(variable, self.env.exists_one(other, other.name == variable.name))",
            lambda p: len({variable.name for variable in p.env}) == len(p.env),
            "pod.env names a variable twice; name each once",
        ),
    )
