"""Where runs are kept, for the commands that look at them: a folder of this machine or a cluster. No command knows which."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun
    from evolution_storage.store import Store


@dataclass(frozen=True)
class Details:
    """What stands around a run, raw as an API server shows it."""

    children: list[dict[str, Any]]
    """Each with its `object` and its `pods`."""
    events: list[dict[str, Any]]
    """The latest ones about the run, oldest first; a folder keeps none."""
    hidden: list[str]
    """What the user may not see, in words."""


def happened(event: dict[str, Any]) -> datetime:
    """When an event last did."""
    return datetime.fromisoformat(event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"])


class KeptRun(Protocol):
    @property
    def run(self) -> "EvolutionRun":
        """With the storage endpoint by which this machine reaches its objects."""
        ...

    @property
    def logs(self) -> str:
        """Where they are, or the command that shows them."""
        ...

    @property
    def report(self) -> Path:
        """File that its report goes to unless told otherwise."""
        ...

    def details(self) -> Details: ...

    def store(self) -> "Store":
        """The run's objects. Raises RefusedError or StorageError where this machine cannot read them."""
        ...


class RunLocation(Protocol):
    @property
    def nothing(self) -> str:
        """What there is to say where there are no runs."""
        ...

    def runs(self) -> list[dict[str, Any]]:
        """The runs as JSON has them; a cluster leaves out what is unset."""
        ...

    def find(self, run: str) -> KeptRun:
        """The run of that name, given as `name` or `namespace/name`. Raises RefusedError."""
        ...


def reached_by(endpoint: str | None, run: "EvolutionRun") -> "EvolutionRun":
    """The run with that endpoint in place of its storage's own, which may have a name that only pods can resolve."""
    if endpoint is None:
        return run
    storage = run.spec.storage.model_copy(update={"endpoint": endpoint})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"storage": storage})})
