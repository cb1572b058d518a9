"""Lists the children of runs and their pods as the API server's cache has them, where that is no older than what is known.

A live list waits until the cache is known to be up to date, which the API server asks of etcd at most ten times a second.
Called by the reconciler; the handlers say what they hear.
"""

from collections.abc import Sequence

from evolution_operator.cluster.api import Api, ApiError
from evolution_operator.interface import KubeObject

FROM_THE_FUTURE = "ResourceVersionTooLarge"


class Recent:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._newest: dict[str, int] = {}
        """By kind, the newest version that was heard of, made or listed: what lists show at least. A kind lies in one etcd,
        which counts its changes."""

    def heard(self, raw: KubeObject) -> None:
        """Of an object, at that version."""
        self._at_least(raw["kind"], int(raw["metadata"]["resourceVersion"]))

    async def list(
        self, api_version: str, kind: str, namespace: str, selector: str, *, live: bool = False
    ) -> Sequence[KubeObject]:
        """Whole objects of that label; none where the cluster does not know the kind. `live`: everything up to now is in it."""
        at_least = 0 if live else self._newest.get(kind, 0)
        try:
            found, version = await self._api.list_at_least(api_version, kind, namespace, selector, at_least)
        except ApiError as error:
            if FROM_THE_FUTURE in error.causes:  # the cluster was restored from a backup
                self._newest.pop(kind, None)
            raise
        self._at_least(kind, version)
        return found

    def _at_least(self, kind: str, version: int) -> None:
        self._newest[kind] = max(version, self._newest.get(kind, 0))
