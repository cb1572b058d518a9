"""`spec.model`: the solver."""

from typing import Literal

from pydantic import Field

from evolution_api.closed import Resource
from evolution_api.run.rules import IMMUTABLE


class Model(Resource):
    """The solver's base model; the frozen proposer is the same unless it names another."""

    uri: str = Field(pattern=r"^(hf|s3|file)://.+", max_length=1024, json_schema_extra=IMMUTABLE)
    """The base model: hf://owner/name, s3://bucket/prefix or file:///folder (Hugging Face layout with processor)."""
    revision: str | None = Field(default=None, max_length=128, json_schema_extra=IMMUTABLE)
    """Commit, tag or branch of an hf:// model; None means main."""
    dtype: Literal["bfloat16", "float16", "float32"] = Field(default="bfloat16", json_schema_extra=IMMUTABLE)
    """Number format of the weights in training and serving."""
    choices: Literal["letter", "text"] = Field(default="letter", json_schema_extra=IMMUTABLE)
    """How the solver answers a choice: `letter`, as VSI-Bench asks, or `text`, the option's words."""
