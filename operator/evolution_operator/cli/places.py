"""Where runs are kept, for the commands that look at them: a folder of this machine or a cluster. No command knows which."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evolution_operator.cli.console import DEFAULT_WORKDIR

if TYPE_CHECKING:
    from evolution_api.run import EvolutionRun
    from evolution_jobs.storage.store import Store
    from evolution_operator.local.folder import RunFolder
    from evolution_operator.local.folder import Workdir as Folder


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
        """The run's objects. Raises LocalError or StorageError where this machine cannot read them."""
        ...


class Place(Protocol):
    @property
    def nothing(self) -> str:
        """What there is to say where there are no runs."""
        ...

    def runs(self) -> list[dict[str, Any]]:
        """The runs as JSON has them; a cluster leaves out what is unset."""
        ...

    def find(self, run: str) -> KeptRun:
        """The run of that name, given as `name` or `namespace/name`. Raises LocalError."""
        ...


def place_of(
    workdir: Path,
    cluster: bool,
    namespace: str | None,
    context: str | None,
    *,
    everywhere: bool = False,
    endpoint: str | None = None,
) -> Place:
    """The cluster where any of its options is given, else the folder. Raises LocalError for options that exclude each other."""
    from evolution_operator.local.errors import LocalError
    from evolution_operator.local.folder import Workdir as Folder

    if not (cluster or everywhere or namespace or context):
        return FolderPlace(Folder(workdir), workdir, endpoint)
    if workdir != DEFAULT_WORKDIR:
        raise LocalError("--workdir names a folder of this machine, the other options a cluster: leave one of them out")
    if everywhere and namespace:
        raise LocalError(f"--all-namespaces and --namespace {namespace} exclude each other: leave one of them out")
    from evolution_operator.cli.incluster import ClusterPlace

    return ClusterPlace(namespace, context, everywhere=everywhere, endpoint=endpoint)


class FolderPlace:
    def __init__(self, folder: "Folder", shown: Path, endpoint: str | None) -> None:
        self._folder = folder
        self._endpoint = endpoint
        self.nothing = f"No runs in {shown}. Start one with `evolution run FILE`."

    def runs(self) -> list[dict[str, Any]]:
        return [found.load().model_dump(mode="json", by_alias=True) for found in self._folder.runs()]

    def find(self, run: str) -> KeptRun:
        found = self._folder.find(run)
        return FolderRun(found, reached_by(self._endpoint, found.load()))


class FolderRun:
    def __init__(self, folder: "RunFolder", run: "EvolutionRun") -> None:
        self._folder = folder
        self.run = run
        self.logs = str(folder.logs)
        self.report = folder.path / "report.html"

    def details(self) -> Details:
        return Details(list(self._folder.load_children()), [], [])

    def store(self) -> "Store":
        from evolution_jobs.storage.store import run_store
        from evolution_operator.report.collect import run_input

        return run_store(run_input(self.run))


def reached_by(endpoint: str | None, run: "EvolutionRun") -> "EvolutionRun":
    """The run with that endpoint in place of its storage's own, which may have a name that only pods can resolve."""
    if endpoint is None:
        return run
    storage = run.spec.storage.model_copy(update={"endpoint": endpoint})
    return run.model_copy(update={"spec": run.spec.model_copy(update={"storage": storage})})
