"""What a model said, read as proposals or verdicts. Pure; called by `model.py`.

A model may say anything: fences, chatter around the JSON, half a list, other types, other fields, broken Unicode. Whatever is
readable is read, each item on its own; the rest comes back as a `Malformed` with its reason. Nothing here raises for any reply.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from evolution_api.kinds import Kind
from evolution_api.question import Proposal

Verdict = Literal["keep", "guessable", "contradicted"]
QUOTED_CHARACTERS = 2000
"""Longest piece of a reply that is kept of something unreadable."""
MOST_FALSE_STARTS = 500
"""Brackets tried in a reply that open no JSON; a reply of nothing but brackets must not take quadratic time."""
BRACKET = re.compile(r"[{\[]")
DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Malformed:
    detail: str
    kind: str = ""
    text: str = ""
    program: str = ""


def proposal_schema(kinds: Sequence[Kind]) -> dict[str, Any]:
    """JSON schema of a reply: `Proposal`'s own, within what servers' strict modes take (everything required, no bounds)."""
    item = _strict(Proposal.model_json_schema())
    item["properties"]["kind"]["enum"] = list(kinds)
    return _object({"questions": {"type": "array", "items": item}})


def verdict_schema() -> dict[str, Any]:
    verdict = _object(
        {
            "question": {"type": "integer"},
            "verdict": {"type": "string", "enum": ["keep", "guessable", "contradicted"]},
            "why": {"type": "string"},
        }
    )
    return _object({"verdicts": {"type": "array", "items": verdict}})


def read_proposals(reply: str, kinds: Sequence[Kind]) -> list[Proposal | Malformed]:
    """One result an item; a reply without any item is one `Malformed`."""
    items = _items(reply, "questions")
    if not items:
        return [Malformed("the reply holds no list of questions in JSON", text=_printable(reply))]
    return [_proposal(item, kinds) for item in items]


def read_verdicts(reply: str, questions: int) -> dict[int, tuple[Verdict, str]]:
    """Number of the question, from 1 to `questions` -> verdict and its reason; unreadable ones are left out."""
    verdicts: dict[int, tuple[Verdict, str]] = {}
    for item in _items(reply, "verdicts"):
        number, verdict = (item.get("question"), item.get("verdict")) if isinstance(item, dict) else (None, None)
        if type(number) is int and 1 <= number <= questions and verdict in ("keep", "guessable", "contradicted"):
            verdicts[number] = (verdict, _printable(item.get("why", "")))
    return verdicts


def _proposal(item: Any, kinds: Sequence[Kind]) -> Proposal | Malformed:
    if not isinstance(item, dict):
        return Malformed("a question is a JSON object, this is none", text=_printable(item))
    said = {name: _printable(item.get(name, "")) for name in ("kind", "text", "program")}
    try:
        proposal = Proposal.model_validate(item)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'question'}: {e['msg']}" for e in error.errors())
        return Malformed(_printable(problems), **said)
    if proposal.kind not in kinds:
        return Malformed(f"kind {proposal.kind} is not among generation.kinds", **said)
    return proposal


def _items(reply: str, name: str) -> list[Any]:
    """The list under `name` in the last JSON object that has one; without such an object, every loose object and list member.

    A reply that was cut off has no whole outer object, and its whole members are the loose ones.
    """
    values: list[Any] = []
    position, failures = 0, 0
    while (found := BRACKET.search(reply, position)) is not None and failures < MOST_FALSE_STARTS:
        try:
            value, position = DECODER.raw_decode(reply, found.start())
            values.append(value)
        except (ValueError, RecursionError):
            position = found.end()
            failures += 1
    lists = [v[name] for v in values if isinstance(v, dict) and isinstance(v.get(name), list)]
    if lists:
        return list(lists[-1])
    return [item for v in values for item in (v if isinstance(v, list) else [v])]


def _printable(value: Any) -> str:
    """Any value as text that can be stored: cut, and without lone surrogates."""
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text[:QUOTED_CHARACTERS].encode("utf-8", "replace").decode()


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {"type", "description", "enum", "anyOf", "items"}
    properties = {
        name: {key: value for key, value in entry.items() if key in kept} for name, entry in schema["properties"].items()
    }
    return _object(properties)
