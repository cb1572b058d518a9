"""`spec.storage`: where everything is kept."""

from typing import Literal

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.run.quantities import ObjectName
from evolution_api.run.rules import IMMUTABLE


class Storage(Resource):
    """Where shards, checkpoints and metrics are kept."""

    uri: str = Field(pattern=r"^(s3|file)://.+", max_length=1024, json_schema_extra=IMMUTABLE)
    """Where everything is kept: s3://bucket/prefix, or file:///folder."""
    endpoint: str | None = Field(default=None, pattern=r"^https?://.+", max_length=1024)
    """URL of an S3 server other than AWS; None means AWS."""
    secret_name: ObjectName | None = None
    """Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; None means the pod's own identity."""
    on_delete: Literal["Retain", "Delete"] = "Retain"
    """What happens to the stored objects when the run is deleted."""
    keep_checkpoints: int | None = Field(default=None, ge=1, le=1000)
    """Keep only the newest n checkpoints, the best one and the optimiser state of the last; None keeps all."""
