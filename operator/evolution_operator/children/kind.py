"""What the operator has to know of a kind of child. The kinds' own files fill it in, all others read it through `registry`."""

from collections.abc import Callable
from dataclasses import dataclass

from evolution_operator.children.onemachine import LocalChild
from evolution_operator.children.verdict import Verdict
from evolution_operator.interface import KubeObject


def is_its_own(involved: KubeObject, child: KubeObject) -> bool:
    """Whether an event's object is the child itself."""
    return bool(involved.get("uid") == child["metadata"]["uid"])


@dataclass(frozen=True)
class ChildKind:
    group: str
    """API group, such as batch."""
    version: str
    kind: str
    plural: str
    ends: frozenset[str]
    """Conditions that are true of a child that has ended, one way or the other."""
    judge: Callable[[KubeObject, tuple[KubeObject, ...]], Verdict]
    """What the object and its pods say of it."""
    local: type[LocalChild]
    """How one machine runs it."""
    ready: frozenset[str] = frozenset()
    """Further conditions that can move a run on."""
    owns_pods: bool = True
    """Whether its pods name it as their owner; else it is their labels that say whose they are."""
    is_about: Callable[[KubeObject, KubeObject], bool] = is_its_own
    """Whether the object of an event is the child, or one that makes the child's pods."""
    missing: str = ""
    """What comes of a cluster that does not serve the kind, and what to do; empty for Kubernetes' own."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"

    @property
    def decisive(self) -> frozenset[str]:
        """Conditions that can move a run on."""
        return self.ends | self.ready
