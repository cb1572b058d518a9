"""Kubernetes' own patterns and quantities: whatever they refuse, the children of a run would be refused for."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = f"^({SUBDOMAIN}/)?{LABEL}$"
ObjectName = Annotated[str, Field(pattern=f"^{SUBDOMAIN}$", max_length=253)]
LabelValue = Annotated[str, Field(pattern=f"^({LABEL})?$", max_length=63)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([mkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$", max_length=64)]
"""A Kubernetes quantity: "4", 500m, 16Gi."""


SUFFIXES: dict[str, Decimal] = {
    "m": Decimal("0.001"),
    **{prefix: Decimal(1000**power) for power, prefix in enumerate("kMGTPE", start=1)},
    **{f"{prefix}i": Decimal(1024**power) for power, prefix in enumerate("KMGTPE", start=1)},
}


def amount(quantity: str) -> Decimal:
    """The number that a quantity stands for."""
    suffix = next((s for s in SUFFIXES if quantity.endswith(s)), "")
    return Decimal(quantity.removesuffix(suffix)) * SUFFIXES.get(suffix, 1)
