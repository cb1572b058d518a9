"""Records as Parquet that `datasets.load_dataset` opens as it is; the same records always give the same bytes."""

import io
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from evolution_api.closed import Record
from evolution_storage.store import CorruptError

R = TypeVar("R", bound=Record)

_SCALARS: Mapping[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def to_parquet(records: Sequence[R], type_: type[R]) -> bytes:
    """A Parquet file with one row a record and one column a field; an empty sequence gives an empty table of the same schema."""
    table = pa.Table.from_pylist([record.model_dump(mode="json") for record in records], schema=schema_of(type_))
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def from_parquet(data: bytes, type_: type[R]) -> list[R]:
    """Raises CorruptError where the bytes are no Parquet or a row is no `type_`."""
    try:
        # Without Arrow's thread pools: a short program that ends beside them is aborted now and then.
        rows = pq.ParquetFile(io.BytesIO(data), pre_buffer=False).read(use_threads=False).to_pylist()
        return [type_.model_validate(row) for row in rows]
    except (pa.ArrowException, ValidationError) as error:
        raise CorruptError(f"this is no table of {type_.__name__} records: {error}") from error


def schema_of(type_: type[Record]) -> pa.Schema:
    return pa.schema([pa.field(name, _arrow(field.annotation)) for name, field in type_.model_fields.items()])


def _arrow(annotation: Any) -> pa.DataType:
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return _SCALARS[type(arguments[0])]
    if origin in (Union, UnionType):
        (inner,) = (a for a in arguments if a is not NoneType)
        return _arrow(inner)
    if origin is tuple:
        return pa.list_(_arrow(arguments[0]))
    raise TypeError(f"no Parquet column for {annotation}; keep stored records flat")
