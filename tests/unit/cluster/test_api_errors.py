"""Messages of the API server, as it writes them, and what a run's condition makes of them."""

import pytest

from evolution_operator.cluster.api import ApiError
from evolution_operator.cluster.api_errors import LONGEST_WAIT_S, refusal_of, wait_s

CASES = {
    "no answer": (
        ApiError("read EvolutionRun x", 0, "", "the API server does not answer: refused"),
        "ApiServerUnreachable",
        True,
    ),
    "conflict": (
        ApiError("write the status of EvolutionRun x", 409, "Conflict", "the object has been modified"),
        "Conflict",
        True,
    ),
    "taken name": (ApiError("create Job x", 409, "ChildOfAnotherRun", "one of that name exists"), "ChildOfAnotherRun", False),
    "too many": (
        ApiError("create Job x", 429, "TooManyRequests", "the server has received too many requests"),
        "TooManyRequests",
        True,
    ),
    "webhook down": (
        ApiError("create PyTorchJob x", 500, "InternalError", 'Internal error occurred: failed calling webhook "v": refused'),
        "WebhookUnavailable",
        True,
    ),
    "server error": (ApiError("create Job x", 503, "ServiceUnavailable", "etcd leader changed"), "ApiServerError", True),
    "quota": (
        ApiError(
            "create Job x", 403, "Forbidden", 'jobs.batch "x" is forbidden: exceeded quota: small, requested: count/jobs.batch=1'
        ),
        "QuotaExceeded",
        False,
    ),
    "namespace going": (
        ApiError("create Job x", 403, "Forbidden", 'jobs.batch "x" is forbidden: ...', causes=("NamespaceTerminating",)),
        "NamespaceTerminating",
        False,
    ),
    "policy": (ApiError("create Job x", 403, "Forbidden", 'admission webhook "p" denied the request: no'), "Denied", False),
    "no right": (
        ApiError("create Job x", 403, "Forbidden", 'jobs.batch is forbidden: User "u" cannot create'),
        "Forbidden",
        False,
    ),
    "no such kind": (ApiError("create PyTorchJob x", 404, "", "404 page not found"), "KindNotInstalled", False),
    "invalid": (ApiError("create Job x", 422, "Invalid", 'Job.batch "x" is invalid: spec: too long'), "ChildInvalid", False),
}


@pytest.mark.parametrize(("error", "reason", "passes"), CASES.values(), ids=CASES)
def test_a_refusal_says_what_was_refused_why_and_what_to_do(error: ApiError, reason: str, passes: bool) -> None:
    refusal = refusal_of(error)
    assert (refusal.reason, refusal.passes) == (reason, passes)
    assert refusal.message.startswith(f"cannot {error.doing}: {error.message}; ")
    assert len(refusal.message) > len(f"cannot {error.doing}: {error.message}; ")


def test_the_wait_doubles_up_to_a_bound_and_honours_the_server() -> None:
    error = ApiError("create Job x", 503, "", "no")
    assert [wait_s(error, failures) for failures in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert wait_s(error, 10_000) == LONGEST_WAIT_S
    assert wait_s(ApiError("create Job x", 429, "", "slowly", retry_after_s=30), 1) == 30
    assert wait_s(ApiError("create Job x", 429, "", "slowly", retry_after_s=1), 4) == 8
