"""The client asks again while waiting helps, and says so in one sentence when it does not."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from evolution_jobs.solver_api import Instance, SolverClient, UnusableSceneError

GOOD: dict[str, Any] = {"predictions": [{"confidences": [0.5, 0.25]}]}
PAIRS = [("q0", "yes"), ("q1", "no")]


def ask(url: str, timeout_s: float = 5.0) -> tuple[float | None, ...]:
    async def once() -> tuple[float | None, ...]:
        async with SolverClient(url, timeout_s) as client:
            return await client.confidences("room-1", PAIRS)

    return asyncio.run(once())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_request_names_the_scene_and_carries_no_frames(answering: Callable[..., Any]) -> None:
    with answering(lambda _: (200, {}, GOOD)) as server:
        assert ask(server.url + "/") == (0.5, 0.25)
        assert server.seen == [{"instances": [{"scene": "room-1", "pairs": [["q0", "yes"], ["q1", "no"]]}]}]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_or_failing_server_is_asked_again(answering: Callable[..., Any], status: int) -> None:
    replies = iter([(status, {"Retry-After": "0.01"}, {}), (status, {}, {}), (200, {}, GOOD)])
    with answering(lambda _: next(replies)) as server:
        assert ask(server.url) == (0.5, 0.25)
        assert len(server.seen) == 3


def test_retry_after_is_honoured(answering: Callable[..., Any]) -> None:
    replies = iter([(429, {"Retry-After": "0.4"}, {}), (200, {}, GOOD)])
    started = time.monotonic()
    with answering(lambda _: next(replies)) as server:
        ask(server.url)
    assert time.monotonic() - started >= 0.4


def test_a_retry_after_that_is_a_date_does_not_break_the_client(answering: Callable[..., Any]) -> None:
    replies = iter([(503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}), (200, {}, GOOD)])
    with answering(lambda _: next(replies)) as server:
        assert ask(server.url) == (0.5, 0.25)


def test_a_server_that_is_not_there_yet_is_waited_for(answering: Callable[..., Any]) -> None:
    port = free_port()
    result: list[tuple[float | None, ...]] = []
    thread = threading.Thread(target=lambda: result.append(ask(f"http://127.0.0.1:{port}")))
    thread.start()
    time.sleep(0.15)
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Late(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            data = b'{"predictions": [{"confidences": [0.5, 0.25]}]}'
            self.send_response(200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", port), Late) as server:
        server.handle_request()
        thread.join()
    assert result == [(0.5, 0.25)]


def test_past_the_time_limit_one_sentence_says_what_was_seen_last(answering: Callable[..., Any]) -> None:
    with (
        answering(lambda _: (503, {"Retry-After": "30"}, {"error": "not ready"})) as server,
        pytest.raises(TimeoutError) as raised,
    ):
        ask(server.url)
    assert str(raised.value) == (
        f"the solver's server at {server.url} did not answer within probe.timeoutSeconds = 5 "
        '(last: HTTP 503: {"error": "not ready"}); see the log of the server\'s pods, or raise probe.timeoutSeconds'
    )


def test_a_server_that_never_comes_is_given_up() -> None:
    with pytest.raises(TimeoutError, match="last: ConnectError"):
        ask(f"http://127.0.0.1:{free_port()}", timeout_s=0.3)


def test_a_server_that_takes_the_request_and_hangs_is_given_up(answering: Callable[..., Any]) -> None:
    release = threading.Event()

    def hang(_: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
        release.wait(5)
        return 200, {}, GOOD

    with answering(hang) as server:
        try:
            with pytest.raises(TimeoutError, match="ReadTimeout"):
                ask(server.url, timeout_s=0.3)
        finally:
            release.set()


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_is_not_repeated(answering: Callable[..., Any], status: int) -> None:
    with answering(lambda _: (status, {}, {"error": "instances: Field required"})) as server:
        with pytest.raises(RuntimeError, match=f"refused a question about scene room-1: HTTP {status}.*Field required"):
            ask(server.url)
        assert len(server.seen) == 1


def test_an_unusable_scene_has_an_error_of_its_own(answering: Callable[..., Any]) -> None:
    with (
        answering(lambda _: (422, {}, {"detail": "scene room-1: frame 3 is truncated"})) as server,
        pytest.raises(UnusableSceneError, match="frame 3 is truncated"),
    ):
        ask(server.url)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"outputs": []}, "does not answer as the solver's server does"),
        ({"predictions": []}, "does not answer as the solver's server does"),
        ({"predictions": [{"confidences": [0.5]}]}, "answered 1 of 2 questions"),
    ],
    ids=["another protocol", "no prediction", "too few"],
)
def test_an_answer_of_another_shape_is_refused(answering: Callable[..., Any], said: dict[str, Any], message: str) -> None:
    with answering(lambda _: (200, {}, said)) as server, pytest.raises(RuntimeError, match=message):
        ask(server.url)


@pytest.mark.parametrize("scene", ["", "../a", "a/b", ".hidden", "a" * 101])
def test_a_scene_id_cannot_leave_the_scenes_folder(scene: str) -> None:
    with pytest.raises(ValueError, match="scene"):
        Instance(scene=scene, pairs=(("q", "a"),))
