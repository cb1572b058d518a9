"""From the options of a command to where it looks for runs."""

from pathlib import Path

from evolution_cli.console import DEFAULT_WORKDIR
from evolution_cli.folder import FolderLocation
from evolution_cli.location import RunLocation


def location_of(
    workdir: Path,
    cluster: bool,
    namespace: str | None,
    context: str | None,
    *,
    everywhere: bool = False,
    endpoint: str | None = None,
) -> RunLocation:
    """The cluster where any of its options is given, else the folder. Raises RefusedError for options that exclude each other."""
    from evolution_operator.errors import RefusedError
    from evolution_operator.local.folder import Workdir as Folder

    if not (cluster or everywhere or namespace or context):
        return FolderLocation(Folder(workdir), workdir, endpoint)
    if workdir != DEFAULT_WORKDIR:
        raise RefusedError("--workdir names a folder of this machine, the other options a cluster: leave one of them out")
    if everywhere and namespace:
        raise RefusedError(f"--all-namespaces and --namespace {namespace} exclude each other: leave one of them out")
    from evolution_cli.cluster import ClusterLocation

    return ClusterLocation(namespace, context, everywhere=everywhere, endpoint=endpoint)
