"""All kinds of children. A new kind is a file beside this one, and a place in `KINDS`."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evolution_operator.children import inferenceservice, job, pytorchjob
from evolution_operator.children.kind import ChildKind
from evolution_operator.children.verdict import PODS_MISSING, Verdict, condition, plain, pod_is_active
from evolution_operator.interface import KubeObject

KINDS: tuple[ChildKind, ...] = (job.KIND, pytorchjob.KIND, inferenceservice.KIND)
BY_NAME = {kind.kind: kind for kind in KINDS}


def is_alive(child: KubeObject, pods: Iterable[KubeObject]) -> bool:
    """Whether the child still holds, or may come to hold, a pod. One of a kind that never ends holds some until it is gone."""
    if any(pod_is_active(pod) for pod in pods):
        return True
    return not any(condition(child, end) is not None for end in BY_NAME[child["kind"]].ends)


def verdict(child: KubeObject, pods: Iterable[KubeObject], events: Sequence[KubeObject] = ()) -> Verdict:
    """The verdict on `child`, given its own pods, and the events that may say why there are too few of them."""
    judged = BY_NAME[child["kind"]].judge(child, tuple(pods))
    if judged.reason == PODS_MISSING:
        judged = replace(judged, message=f"{judged.message}{_why_missing(child, events)}")
    if "deletionTimestamp" in child["metadata"] and judged.state != "Succeeded":
        # What it committed is a fact; a failure may only be its deletion, seen from inside.
        return replace(judged, state="Terminating")
    return judged


def _why_missing(child: KubeObject, events: Sequence[KubeObject]) -> str:
    """What follows the number of pods: the last words of those who were to make them, or whom to ask."""
    about = [event for event in events if BY_NAME[child["kind"]].is_about(event["involvedObject"], child)]
    if about:
        return f": {plain(max(about, key=lambda event: int(event['metadata']['resourceVersion']))['message'])}"
    ask = f"`kubectl describe {child['kind'].lower()} {child['metadata']['name']}`"
    return f"; {ask} says why, often a quota or a Pod Security level, unless its controller is not at work"
