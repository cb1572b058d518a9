"""A run with three rooms and a few committed questions, and an HTTP server that answers as a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_SHARD, ENV_SOLVER_URL, SCENE_PLAN_KEY, part
from evolution_api.question import Question
from evolution_api.scene import ScenePlan
from evolution_storage.manifests import commit
from evolution_storage.tables import to_parquet
from evolution_storage.uri import run_store

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str], dict[str, Any]]]
"""Request body -> status, headers, response body."""


class AnsweringServer:
    """Answers POSTs with `answer` on a loopback port and keeps the bodies that it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.seen: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.seen.append(body)
                status, headers, said = answer(body)
                data = json.dumps(said).encode()
                self.send_response(status)
                for name, value in {"content-length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def answering() -> Callable[[Answer], Any]:
    @contextmanager
    def serve(answer: Answer) -> Iterator[AnsweringServer]:
        server = AnsweringServer(answer)
        thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.http.shutdown()
            thread.join()
            server.http.server_close()

    return serve


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StageInput]:
    """A StageInput of round 1's probe; keyword arguments replace parts of the spec."""
    monkeypatch.setenv(ENV_SHARD, "0")
    monkeypatch.delenv(ENV_SOLVER_URL, raising=False)

    def build(**spec: Any) -> StageInput:
        base = {
            "model": {"uri": "file:///nowhere", "choices": "text"},
            "scenes": {"uri": "file:///nowhere"},
            "storage": {"uri": f"file://{tmp_path}"},
            "generation": {"shards": 2},
        }
        return StageInput.model_validate(
            {"namespace": "default", "run": "loop", "uid": "u1", "stage": "probe", "round": 1, "spec": {**base, **spec}}
        )

    return build


def yesno(scene: str, number: int) -> Question:
    return Question(
        kind="object_existence",
        text=f"is there a lamp number {number} ?",
        answer_type="yesno",
        program="True",
        labels=("lamp",),
        id=f"{scene}-{number}",
        scene=scene,
        answer="yes",
        round=1,
        proposer="grammar",
    )


@pytest.fixture
def generated(job: Callable[..., StageInput]) -> Callable[[StageInput, list[Question]], None]:
    """Commit the scene plan and shard 0's questions."""

    def commit_both(of: StageInput, questions: list[Question]) -> None:
        store = run_store(of)
        plan = ScenePlan(root_uri="file:///nowhere", train=("a", "b", "c", "d"), heldout=("h",))
        prepare = of.model_copy(update={"stage": "prepare", "round": 0})
        commit(store, prepare, {SCENE_PLAN_KEY: plan.model_dump_json().encode()}, stage_summary("prepare"))
        generate = of.model_copy(update={"stage": "generate"})
        commit(
            store,
            generate,
            {f"{part(1, 'generate', 0)}.parquet": to_parquet(questions, Question)},
            stage_summary("generate"),
            shard=0,
        )

    return commit_both


@pytest.fixture
def questions() -> list[Question]:
    """Two of scene a, one of scene c."""
    return [yesno("a", 0), yesno("a", 1), yesno("c", 0)]
