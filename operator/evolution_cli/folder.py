"""Runs in a folder of this machine. See location.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evolution_cli.location import Details, KeptRun, reached_by

if TYPE_CHECKING:
    from evolution_api.run.resource import EvolutionRun
    from evolution_operator.local.folder import RunFolder
    from evolution_operator.local.folder import Workdir as Folder
    from evolution_storage.store import Store


class FolderLocation:
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
        from evolution_cli.report.collect import run_input
        from evolution_storage.uri import run_store

        return run_store(run_input(self.run))
