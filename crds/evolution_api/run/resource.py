"""The resource itself."""

from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field

from evolution_api.closed import Resource
from evolution_api.layout import API_VERSION, KIND
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.run.status import EvolutionRunStatus


class Metadata(Resource):
    """The part of Kubernetes' ObjectMeta that this project reads; the rest passes through."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    namespace: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    uid: str = ""
    generation: int = 1
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: datetime | None = None


class EvolutionRun(Resource):
    api_version: Literal["evolution.spatial.io/v1alpha1"] = API_VERSION  # type: ignore[assignment]
    kind: Literal["EvolutionRun"] = KIND  # type: ignore[assignment]
    metadata: Metadata
    spec: EvolutionRunSpec
    status: EvolutionRunStatus = EvolutionRunStatus()
