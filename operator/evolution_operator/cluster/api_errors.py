"""What the API server's refusals mean for a run, in words. Pure; called by the reconciler.

Everything is tried again, for what stands in the way may go: what passes by itself soon, what a person has to mend as long
as it takes.
"""

from dataclasses import dataclass

from evolution_operator.children.verdict import plain
from evolution_operator.cluster.api import ApiError

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
NAMESPACE_TERMINATING = "NamespaceTerminating"


@dataclass(frozen=True)
class Refusal:
    reason: str
    """CamelCase, for the Progressing condition."""
    message: str
    """What was refused, why, and what to do."""
    passes: bool
    """Whether it passes by itself; else somebody has to mend it."""


def refusal_of(error: ApiError) -> Refusal:
    reason, advice, passes = _judged(error)
    return Refusal(reason, f"cannot {error.doing}: {plain(error.message)}; {advice}", passes)


def wait_s(error: ApiError, failures: int) -> float:
    """Seconds until the next try after the `failures`-th failure in a row (from 1), never sooner than the server asks for."""
    doubled = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(failures - 1, 10))
    return max(doubled, error.retry_after_s or 0.0)


def _judged(error: ApiError) -> tuple[str, str, bool]:
    """Reason, advice, and whether it passes."""
    message = error.message
    if error.status == 0:
        return "ApiServerUnreachable", "tried again until it answers", True
    if error.status == 409:
        if error.reason == "ChildOfAnotherRun":
            return error.reason, "waiting for it to go; delete it if nothing else will", False
        return "Conflict", "somebody else wrote at the same time; tried again", True
    if "failed calling webhook" in message:
        return (
            "WebhookUnavailable",
            "waiting for the controller behind the webhook to come up; if it does not, look at its pods",
            True,
        )
    if error.status == 429:
        return "TooManyRequests", "tried again when the API server allows", True
    if error.status >= 500:
        return "ApiServerError", "tried again", True
    if NAMESPACE_TERMINATING in error.causes:
        return NAMESPACE_TERMINATING, "a namespace that is being deleted takes nothing new", False
    if "exceeded quota" in message:
        return "QuotaExceeded", "raise the quota or free what uses it; the run then goes on by itself", False
    if message.startswith("admission webhook"):
        return "Denied", "satisfy the policy that says so, or change the spec; the run then goes on by itself", False
    if error.status in (401, 403):
        return (
            "Forbidden",
            "give the operator's service account this right (the chart's RBAC does); the run then goes on by itself",
            False,
        )
    if error.status == 404:
        return "KindNotInstalled", "install what provides this kind; the run then goes on by itself", False
    return (
        "ChildInvalid",
        "correct the spec, or bring operator and cluster to versions that fit; the run then goes on by itself",
        False,
    )
