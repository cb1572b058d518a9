"""What all groups of the spec have in common: rules that join fields, and the mark of a field that may not change."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import model_validator
from pydantic.config import JsonDict

from evolution_api.closed import Resource


class Rule(NamedTuple):
    """A cross-field rule, said twice because it is checked in two places: by the API server and by `evolution validate`."""

    cel: str
    """x-kubernetes-validations expression over `self`."""
    holds: Callable[[Any], bool]
    message: str
    """What is wrong and what to do."""


IMMUTABLE: JsonDict = {"x-evolution-immutable": True}
"""Marks a field that may not change while the run lives; the CRD generator turns it into a transition rule."""


class Ruled(Resource):
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def rules_hold(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                raise ValueError(rule.message)
        return self
