"""The status as the API server stores it: plain JSON in, plain JSON out. Pure; called by the reconciler.

It works on what does not validate too.
"""

from datetime import datetime
from typing import Any

from evolution_api.run.status import EvolutionRunStatus
from evolution_operator.interface import KubeObject


def as_json(status: EvolutionRunStatus) -> KubeObject:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def difference(before: KubeObject, after: KubeObject) -> KubeObject:
    """The merge patch that turns one into the other; empty where they are equal. Lists are replaced as a whole."""
    patch: KubeObject = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            if inner := difference(old, value):
                patch[key] = inner
        elif key not in before or old != value:
            patch[key] = value
    return patch


def said(raw: KubeObject | None, field: str) -> Any:
    """A field of the stored status; None where there is none."""
    return ((raw or {}).get("status") or {}).get(field)


def not_progressing(raw: KubeObject, reason: str, message: str, now: datetime, *, passes: bool) -> KubeObject:
    """The stored status with nothing changed but what it says about progress; for kstatus, Stalled unless it passes by itself.

    The run keeps its place: when the cause is gone, it goes on from there by itself.
    """
    status = raw.get("status") or {}
    conditions = status.get("conditions") or ()
    generation = raw["metadata"].get("generation", 0)

    def told(type_: str, value: str) -> KubeObject:
        before = next((c["lastTransitionTime"] for c in conditions if (c["type"], c["status"]) == (type_, value)), None)
        return {
            "type": type_,
            "status": value,
            "reason": reason,
            "message": message,
            "lastTransitionTime": before or now.isoformat().replace("+00:00", "Z"),
            "observedGeneration": generation,
        }

    others = [c for c in conditions if c["type"] not in ("Progressing", "Reconciling", "Stalled")]
    said = [told("Progressing", "False"), *others, told("Reconciling" if passes else "Stalled", "True")]
    return {"phase": "Pending", **status, "observedGeneration": generation, "conditions": said}
