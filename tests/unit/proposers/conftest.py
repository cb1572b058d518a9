"""A real OpenAI-compatible server on a loopback port that says what the test tells it to, and one small room to ask about."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.summaries import stage_summary

from evolution_api.jobs import StageInput
from evolution_api.layout import SCENE_PLAN_KEY
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import Box, Frame, Scene, SceneObject, ScenePlan, Sighting
from evolution_storage.manifests import commit
from evolution_storage.uri import run_store


@dataclass
class Says:
    """One answer of the server."""

    content: str = ""
    status: int = 200
    raw: str | None = None
    """The body itself; None makes a chat completion of `content`."""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    usage: tuple[int, int] | None = (100, 10)
    """Tokens in and out; None for a server that does not count them."""

    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw.encode()
        completion: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": self.content}}]}
        if self.usage is not None:
            completion["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), self.usage, strict=True))
        return json.dumps(completion).encode()


@dataclass
class ScriptedServer:
    """Answers POSTs in the order of `script`; the last one goes on for ever. `answer` decides by the request instead."""

    script: list[Says] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Says] | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    most_at_once: int = 0

    def next(self, request: dict[str, Any]) -> Says:
        if self.answer is not None:
            return self.answer(request)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    scripted = ScriptedServer()
    lock = threading.Lock()
    at_once = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(Says(raw=json.dumps({"object": "list", "data": [{"id": "scripted"}]})))

        def do_POST(self) -> None:
            nonlocal at_once
            assert self.path == "/v1/chat/completions"
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                at_once += 1
                scripted.most_at_once = max(scripted.most_at_once, at_once)
                scripted.requests.append(request)
                scripted.headers.append({name.lower(): value for name, value in self.headers.items()})
                says = scripted.next(request)
            time.sleep(says.delay_s)
            with lock:
                at_once -= 1
            self.reply(says)

        def reply(self, says: Says) -> None:
            body = says.body()
            try:
                self.send_response(says.status)
                for name, value in says.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):  # the client had enough of waiting
                pass

        def log_message(self, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    scripted.url = f"http://127.0.0.1:{http.server_port}/v1"
    yield scripted
    http.shutdown()
    http.server_close()
    thread.join()


def seen(obj: str, ratio: float) -> Sighting:
    return Sighting(object=obj, ratio=ratio, box_px=(4, 8, 20, 30), pixels=200)


@pytest.fixture
def room() -> Scene:
    """A table, two chairs and a bed in 12 m2, seen in three frames; the camera walks along x and looks along y."""
    boxes = {
        "table-1": ("table", "brown", (1.0, 1.0, 0.4), (1.2, 0.8, 0.8)),
        "chair-1": ("chair", "red", (2.5, 1.0, 0.45), (0.5, 0.5, 0.9)),
        "chair-2": ("chair", "red", (1.0, 2.2, 0.45), (0.5, 0.5, 0.9)),
        "bed-1": ("bed", None, (3.0, 3.0, 0.3), (2.0, 1.6, 0.6)),
    }
    objects = tuple(
        SceneObject(id=name, label=label, colour=colour, box=Box(center=center, size=size))
        for name, (label, colour, center, size) in boxes.items()
    )
    sightings = [
        (seen("table-1", 0.9),),
        (seen("table-1", 0.5), seen("chair-1", 0.8)),
        (seen("bed-1", 0.7), seen("chair-2", 0.3)),
    ]
    frames = tuple(
        Frame(
            file=f"frames/{i}.png",
            time_s=i / 2,
            width=64,
            height=48,
            pose=((1, 0, 0, 0.5 + i), (0, 0, 1, 0.2), (0, -1, 0, 1.5), (0, 0, 0, 1)),
            intrinsics=(60, 60, 32, 24),
            visible=visible,
        )
        for i, visible in enumerate(sightings)
    )
    return Scene(
        id="room-1",
        source="procedural",
        room_size_m2=12.0,
        counts={"table": 1, "chair": 2, "bed": 1},
        objects=objects,
        frames=frames,
    )


@pytest.fixture
def says() -> type[Says]:
    return Says


@pytest.fixture
def job(tmp_path: Path, room: Scene, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StageInput]:
    """A run over copies of the room, one shard; `proposer` is its union."""

    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)

    def make(proposer: dict[str, Any], scenes: int = 6) -> StageInput:
        root = tmp_path / "scenes"
        ids = [f"room-{i}" for i in range(scenes)]
        for scene_id in ids:
            (root / scene_id / "frames").mkdir(parents=True)
            (root / scene_id / "scene.json").write_text(room.model_copy(update={"id": scene_id}).model_dump_json())
            for frame in room.frames:
                Image.new("RGB", (64, 48), "grey").save(root / scene_id / frame.file)
        spec = EvolutionRunSpec.model_validate(
            {
                "model": {"uri": "file:///nowhere"},
                "scenes": {"uri": f"file://{root}"},
                "storage": {"uri": f"file://{tmp_path / 'storage'}"},
                "scheduling": {"accelerator": "none"},
                "generation": {
                    "shards": 1,
                    "questionsPerScene": 1,
                    "proposer": proposer,
                    "maxFailedShards": 0,
                    "filters": {"dropBlind": False},
                },
            }
        )
        prepare = StageInput(namespace="default", run="test", uid="uid-1", stage="prepare", round=0, spec=spec)
        plan = ScenePlan(root_uri=f"file://{root}", train=tuple(ids), heldout=())
        commit(run_store(prepare), prepare, {SCENE_PLAN_KEY: plan.model_dump_json().encode()}, stage_summary("prepare"))
        return prepare.model_copy(update={"stage": "generate", "round": 1})

    return make
