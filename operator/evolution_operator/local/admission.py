"""Admits a run to a folder: a new one gets its identity, one that is kept there takes over the changes that may be made to it.

Does for files what the API server does with the CRD's transition rules.
"""

import uuid
from typing import Any

from pydantic import BaseModel

from evolution_api.run.resource import EvolutionRun
from evolution_operator.errors import RefusedError
from evolution_operator.local.folder import RunFolder


def admitted(wanted: EvolutionRun, folder: RunFolder) -> EvolutionRun:
    """The run to go on with, saved. Raises RefusedError where the kept run was made with a spec that may not change."""
    if not folder.exists():
        metadata = wanted.metadata.model_copy(update={"uid": str(uuid.uuid4()), "generation": 1})
        run = EvolutionRun(metadata=metadata, spec=wanted.spec)
        folder.save(run)
        return run
    kept = folder.load()
    if kept.spec == wanted.spec:
        return kept
    changed = list(_immutable_changes(kept.spec, wanted.spec))
    if changed:
        raise RefusedError(
            "\n".join(
                [
                    *(
                        f"{field} was {before!r} and is now {after!r}, but it may not change while the run lives"
                        for field, before, after in changed
                    ),
                    f"undo that, give the run another metadata.name, or remove {folder.path} to begin anew",
                ]
            )
        )
    metadata = kept.metadata.model_copy(update={"generation": kept.metadata.generation + 1})
    run = kept.model_copy(update={"spec": wanted.spec, "metadata": metadata})
    folder.save(run)
    return run


def _immutable_changes(before: BaseModel, after: BaseModel, path: str = "spec") -> list[tuple[str, Any, Any]]:
    """(field, old, new) of what differs below a field that the contract marks immutable."""
    found: list[tuple[str, Any, Any]] = []
    for name, field in type(before).model_fields.items():
        old, new = getattr(before, name), getattr(after, name)
        extra = field.json_schema_extra
        where = f"{path}.{field.alias or name}"
        if old == new:
            continue
        if isinstance(extra, dict) and extra.get("x-evolution-immutable"):
            found.append((where, _plain(old), _plain(new)))
        elif isinstance(old, BaseModel) and isinstance(new, BaseModel):
            found += _immutable_changes(old, new, where)
    return found


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json", by_alias=True, exclude_defaults=True) if isinstance(value, BaseModel) else value
