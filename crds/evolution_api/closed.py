"""The two base classes of every type in the contract: both closed, both frozen."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Resource(BaseModel):
    """A part of the Kubernetes resource: camelCase outside, snake_case inside; an unknown field is an error."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class Record(BaseModel):
    """A record that programs exchange through storage: snake_case as its Parquet columns and JSON keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
