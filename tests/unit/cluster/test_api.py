"""What the client makes of answers that a healthy API server does not give: an expired token, plain text, no answer at all."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest
from aiohttp import web

from evolution_operator.cluster.api import Api, ApiError, path
from evolution_operator.interface import Ref

Answer = Callable[[web.Request], Awaitable[web.Response]]


def asked(answer: Answer, question: Callable[[Api], Awaitable[Any]], tokens: tuple[str, ...] = ("t",)) -> Any:
    """What `question` gets from a server that answers everything by `answer`; each login gets the next token."""

    async def story() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        left = iter(tokens)
        try:
            async with Api(lambda: kopf.ConnectionInfo(server=f"http://127.0.0.1:{port}", token=next(left))) as api:
                return await question(api)
        finally:
            await runner.cleanup()

    return asyncio.run(story())


async def read(api: Api) -> Any:
    return await api.get("batch/v1", "Job", "lab", "x")


def status(code: int, **fields: Any) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", **fields}, status=code)

    return answer


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("v1", "Pod", "lab"), "/api/v1/namespaces/lab/pods"),
        (("batch/v1", "Job", "lab", "x"), "/apis/batch/v1/namespaces/lab/jobs/x"),
        (
            ("serving.kserve.io/v1beta1", "InferenceService", "lab", "x"),
            "/apis/serving.kserve.io/v1beta1/namespaces/lab/inferenceservices/x",
        ),
        (
            ("evolution.spatial.io/v1alpha1", "EvolutionRun", "lab", "x", "status"),
            "/apis/evolution.spatial.io/v1alpha1/namespaces/lab/evolutionruns/x/status",
        ),
    ],
)
def test_paths_are_those_of_the_api(parts: tuple[str, ...], expected: str) -> None:
    assert path(*parts) == expected


def test_an_expired_token_is_replaced_by_a_new_login() -> None:
    async def answer(request: web.Request) -> web.Response:
        fresh = request.headers["Authorization"] == "Bearer new"
        return web.json_response({"kind": "Job"} if fresh else {"message": "Unauthorized"}, status=200 if fresh else 401)

    assert asked(answer, read, tokens=("old", "new")) == {"kind": "Job"}


def test_a_login_that_stays_refused_is_an_error() -> None:
    with pytest.raises(ApiError, match="cannot read Job x: Unauthorized") as refused:
        asked(status(401, message="Unauthorized", reason="Unauthorized"), read, tokens=("old", "new"))
    assert refused.value.status == 401


def test_reason_causes_and_the_wish_to_be_left_alone_are_read() -> None:
    causes = [{"reason": "NamespaceTerminating"}]
    answer = status(429, message="slowly", reason="TooManyRequests", details={"causes": causes, "retryAfterSeconds": 7})
    with pytest.raises(ApiError) as refused:
        asked(answer, read)
    error = refused.value
    assert (error.reason, error.causes, error.retry_after_s) == ("TooManyRequests", ("NamespaceTerminating",), 7)


def test_plain_text_is_a_message_too() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="upstream is down\n", status=502)

    with pytest.raises(ApiError, match=r"cannot read Job x: upstream is down$"):
        asked(answer, read)


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"cut'])
def test_an_answer_that_is_no_json_counts_as_none(content: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=content)

    with pytest.raises(ApiError) as refused:
        asked(answer, read)
    assert refused.value.status == 0


def test_a_list_of_a_kind_that_is_not_installed_is_empty() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="404 page not found", status=404)

    assert asked(answer, lambda api: api.list("kubeflow.org/v1", "PyTorchJob", "lab", "a=b")) == []


def test_items_of_a_list_say_what_they_are() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "a=b"
        return web.json_response({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "x"}}]})

    found = asked(answer, lambda api: api.list("batch/v1", "Job", "lab", "a=b"))
    assert found == [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}}]


@pytest.mark.parametrize("code", [404, 409])
def test_deleting_what_is_gone_or_has_a_namesake_is_no_error(code: int) -> None:
    asked(status(code, message="no"), lambda api: api.delete(Ref("batch/v1", "Job", "lab", "x", "u")))
