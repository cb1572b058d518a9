"""What is wrong with an EvolutionRun that a person wrote: every fault as field, value, why, and what to do.

Called by the command line with a parsed YAML document; it reads no file. It is as strict as the API server: camelCase names
only, and "4" is no number.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from evolution_api.run.resource import EvolutionRun

LONGEST_VALUE = 60
"""Characters of a value that are quoted."""

WHY = {
    "greater_than": ("must be above {gt}", "raise it"),
    "greater_than_equal": ("must be at least {ge}", "raise it"),
    "less_than": ("must be below {lt}", "lower it"),
    "less_than_equal": ("must be at most {le}", "lower it"),
    "string_too_short": ("is too short", "give at least {min_length} characters"),
    "string_too_long": ("is too long", "give at most {max_length} characters"),
    "too_short": ("holds too few entries", "give at least {min_length}"),
    "too_long": ("holds too many entries", "give at most {max_length}"),
    "string_pattern_mismatch": ("does not have the form {pattern}", "correct it"),
    "finite_number": ("is no finite number", "give one"),
    "int_from_float": ("is no whole number", "give one without a fraction"),
    "int_parsing": ("is no whole number", "give one"),
    "int_type": ("is no whole number", "give one"),
    "float_parsing": ("is no number", "give one"),
    "float_type": ("is no number", "give one"),
    "bool_parsing": ("is neither true nor false", "give one of them"),
    "bool_type": ("is neither true nor false", "give one of them"),
    "string_type": ("is no text", "put it in quotes"),
    "tuple_type": ("is no list", "write a list"),
    "dict_type": ("is no mapping", "write fields below it"),
    "model_type": ("is no mapping", "write its fields below it"),
    "datetime_parsing": ("is no time", "write it as 2026-01-31T12:00:00Z"),
}
"""Kind of fault -> why the value is refused, and what to do, over the fault's own context."""


def explain(document: object) -> EvolutionRun | list[str]:
    """The run that the document describes, or every fault in it, a sentence each."""
    try:
        text = json.dumps(document, default=str)
        return EvolutionRun.model_validate_json(text, strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        return sentences(error)


def sentences(error: ValidationError) -> list[str]:
    """One sentence for each fault that validation of an EvolutionRun found."""
    faults = error.errors(include_url=False)
    # A list whose entries were refused is not too short as well.
    inner = {fault["loc"][:-1] for fault in faults}
    return [_sentence(fault) for fault in faults if not (fault["type"] == "too_short" and fault["loc"] in inner)]


def _sentence(fault: ErrorDetails) -> str:
    loc, kind, context = fault["loc"], fault["type"], fault.get("ctx", {})
    model, field = _at(loc)
    path = _path(loc)
    if kind == "extra_forbidden" and model is not None:
        return f"{path} = {_value(fault['input'])}: there is no such field; {_known(str(loc[-1]), model)}"
    if kind == "missing":
        return f"{path}: is missing; add it{_meaning(field)}"
    if kind == "value_error":
        return f"{path}: {context['error']}"
    shown = f"{path} = {_value(fault['input'])}"
    if kind == "literal_error":
        return f"{shown}: must be {context['expected']}; {_closest(str(fault['input']), _choices(context['expected']))}"
    why, what_to_do = WHY.get(kind, (fault["msg"].lower(), "correct it"))
    return f"{shown}: {why.format(**context)}; {what_to_do.format(**context)}{_meaning(field)}"


def _path(loc: Sequence[int | str]) -> str:
    """`spec.generation.pod.env[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "the document"


def _value(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _at(loc: Sequence[int | str]) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The innermost model on the way to `loc`, and the field that its last name stands for."""
    model: type[BaseModel] | None = EvolutionRun
    owner, field = model, None
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        owner = model
        field = {info.alias or name: info for name, info in model.model_fields.items()}.get(part)
        model = _model_in(field.annotation) if field is not None else None
    return owner, field


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model within Optional, a list or a mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _known(name: str, model: type[BaseModel]) -> str:
    known = [info.alias or field for field, info in model.model_fields.items()]
    return _closest(name, known, otherwise=f"known here: {', '.join(known)}")


def _closest(name: str, known: Sequence[str], otherwise: str = "choose one of them") -> str:
    by_lower: Mapping[str, str] = {other.lower(): other for other in known}
    # `n_rounds` and `nRounds` are the same mistake.
    close = difflib.get_close_matches(name.replace("_", "").lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[close[0]]}?" if close else otherwise


def _choices(expected: str) -> list[str]:
    """pydantic's `'a', 'b' or 'c'` as a list."""
    return [piece.strip().strip("'") for piece in expected.replace(" or ", ", ").split(",")]


def _meaning(field: FieldInfo | None) -> str:
    if field is None or not field.description:
        return ""
    return f" ({' '.join(field.description.split()).rstrip('.')})"
