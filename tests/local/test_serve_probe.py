"""The model server as a process, a tiny model behind it and the probe before it: answers, refusals, ends."""

import asyncio
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.local.model_server import START_LIMIT_S, Server
from tests.summaries import stage_summary

from evolution_api.endings import LastWords
from evolution_api.jobs import StageInput
from evolution_api.layout import ENV_SHARD, ENV_SOLVER_URL, SCENE_PLAN_KEY, manifest_key, part
from evolution_api.question import Question
from evolution_api.results import ProbeResult
from evolution_api.scene import Frame, Scene, ScenePlan
from evolution_jobs import probe
from evolution_jobs.solver_api import SolverClient
from evolution_storage.manifests import commit, committed, read_file
from evolution_storage.tables import from_parquet, to_parquet
from evolution_storage.uri import run_store

pytestmark = pytest.mark.slow

SCENES = ("room-0", "room-1", "room-2", "room-3")
FRAMES = 4
ADMITTED = 16
"""Requests at once (MAX_WAITING of the server)."""
PREDICT = "/v1/models/solver:predict"


def question(scene: str, number: int) -> Question:
    return Question(
        kind="object_counting",
        text=f"how many chairs are in this room ? {number}",
        answer_type="count",
        program="1",
        labels=("chair",),
        id=f"{scene}-{number}",
        scene=scene,
        answer=str(number % 5 + 1),
        round=1,
        proposer="grammar",
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with strong random weights, and rooms of noise; `room-broken` has a truncated frame."""
    import torch

    from evolution_jobs.model.solver import Solver
    from evolution_jobs.tiny import qwen3_vl

    root = tmp_path_factory.mktemp("serve")
    qwen3_vl.build(root / "model", seed=3)
    solver = Solver.load(root / "model", "float32", "cpu")
    with torch.no_grad():
        for weights in solver.model.parameters():
            if weights.ndim > 1:
                weights *= 4  # far from uniform, so that what is seen shows in the confidences
    solver.model.save_pretrained(root / "model")
    noise = random.Random(0)
    for scene in (*SCENES, "room-broken"):
        folder = root / "scenes" / scene
        folder.mkdir(parents=True)
        frames = tuple(Frame(file=f"{i}.png", time_s=i, width=64, height=64) for i in range(FRAMES))
        for frame in frames:
            Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3)).save(folder / frame.file)
        (folder / "scene.json").write_text(Scene(id=scene, source="noise", objects=(), frames=frames).model_dump_json())
    broken = root / "scenes" / "room-broken" / "2.png"
    broken.write_bytes(broken.read_bytes()[:500])
    return root


@pytest.fixture(scope="module")
def job(workplace: Path) -> StageInput:
    return stage(workplace, "u1", timeout_seconds=60)


def stage(workplace: Path, uid: str, timeout_seconds: int, per_scene: int = 6, model: str = "model") -> StageInput:
    """A run of its own (by uid) with committed plan and questions."""
    of = StageInput.model_validate(
        {
            "namespace": "default",
            "run": "loop",
            "uid": uid,
            "stage": "probe",
            "round": 1,
            "spec": {
                "model": {"uri": f"file://{workplace / model}", "dtype": "float32", "choices": "text"},
                "scenes": {"uri": f"file://{workplace / 'scenes'}", "frames_per_scene": FRAMES},
                "generation": {"shards": 1},
                "difficulty": {"rule": "seeing"},
                "probe": {"timeout_seconds": timeout_seconds},
                "scheduling": {"accelerator": "none"},
                "storage": {"uri": f"file://{workplace / 'store'}"},
            },
        }
    )
    store = run_store(of)
    plan = ScenePlan(root_uri=of.spec.scenes.uri or "", train=SCENES, heldout=("room-h",))
    prepare = of.model_copy(update={"stage": "prepare", "round": 0})
    commit(store, prepare, {SCENE_PLAN_KEY: plan.model_dump_json().encode()}, stage_summary("prepare"))
    questions = [question(scene, i) for scene in SCENES for i in range(per_scene)]
    generate = of.model_copy(update={"stage": "generate"})
    commit(
        store,
        generate,
        {f"{part(1, 'generate', 0)}.parquet": to_parquet(questions, Question)},
        stage_summary("generate"),
        shard=0,
    )
    return of


@pytest.fixture(scope="module")
def server(job: StageInput, workplace: Path) -> Iterator[Server]:
    with Server(job, workplace) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="module")
def own(workplace: Path, job: StageInput) -> Callable[[str, list[tuple[str, str]]], list[float]]:
    """Confidences as Solver gives them in this process, one forward pass per question."""
    from evolution_jobs.model.solver import Solver
    from evolution_jobs.scene_batches import frames_shown
    from evolution_jobs.scenes.library import SceneLibrary

    solver = Solver.load(workplace / "model", "float32", "cpu")
    library = SceneLibrary(job.spec.scenes.uri or "")

    def confidences(scene: str, pairs: list[tuple[str, str]]) -> list[float]:
        frames = frames_shown(library, job.spec.scenes, scene)
        return [solver.confidences(solver.pack(frames, [prompt], [answer]))[0] for prompt, answer in pairs]

    return confidences


def post(server: Server, content: object, path: str = PREDICT) -> httpx.Response:
    return httpx.post(server.url + path, json=content, timeout=60, trust_env=False)


PAIRS = [(f"how many chairs are in this room ? {i}", str(i + 1)) for i in range(5)] + [("is there a lamp ?", "yes")]


def test_confidences_over_http_are_the_solver_s_own(server: Server, own: Any) -> None:
    reply = post(server, {"instances": [{"scene": scene, "pairs": PAIRS} for scene in SCENES[:2]]})
    assert reply.status_code == 200, reply.text
    predictions = reply.json()["predictions"]
    for scene, prediction in zip(SCENES, predictions, strict=False):
        assert prediction["confidences"] == pytest.approx(own(scene, PAIRS), abs=1e-6)
    assert predictions[0]["confidences"] != pytest.approx(predictions[1]["confidences"], abs=1e-4), "frames must matter"


def test_readiness_and_health_are_kserve_s(server: Server) -> None:
    for path in ("/v1/models/solver", "/v2/models/solver/ready", "/v2/health/ready", "/v2/health/live"):
        assert httpx.get(server.url + path, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("body", "path", "status", "words"),
    [
        ({"instances": [{"scene": "room-0"}]}, PREDICT, 400, "instances.0.pairs: Field required; ask with"),
        ({"instances": [{"scene": "../model", "pairs": [["q", "a"]]}]}, PREDICT, 400, "instances.0.scene"),
        ({"instances": "room-0"}, PREDICT, 400, "instances"),
        ({"instances": [{"scene": "room-none", "pairs": [["q", "a"]]}]}, PREDICT, 422, "scene room-none: "),
        ({"instances": [{"scene": "room-broken", "pairs": [["q", "a"]]}]}, PREDICT, 422, "scene room-broken: "),
        ({}, "/v1/models/other:predict", 404, "other"),
    ],
    ids=["no pairs", "a path", "no list", "unknown scene", "truncated frame", "unknown model"],
)
def test_bad_requests_get_a_sentence(server: Server, body: object, path: str, status: int, words: str) -> None:
    reply = post(server, body, path)
    assert (reply.status_code, words in reply.text) == (status, True), reply.text


def test_broken_json_gets_a_sentence(server: Server) -> None:
    reply = httpx.post(server.url + PREDICT, content=b"{", headers={"content-type": "application/json"}, trust_env=False)
    assert (reply.status_code, "Unrecognized request format" in reply.text) == (400, True)


def test_a_crowd_is_held_back_and_everyone_is_served_in_the_end(server: Server) -> None:
    statuses: list[int] = []

    async def note(response: httpx.Response) -> None:
        statuses.append(response.status_code)

    async def crowd() -> list[tuple[float | None, ...]]:
        async with SolverClient(server.url, timeout_s=120) as client:
            client.http.event_hooks["response"].append(note)
            return await asyncio.gather(*(client.confidences("room-0", PAIRS) for _ in range(48)))

    answers = asyncio.run(crowd())
    assert 429 in statuses
    assert statuses.count(200) == 48
    assert answers == [answers[0]] * 48
    metrics = httpx.get(f"{server.url}/metrics", trust_env=False).text
    refused = next(line for line in metrics.splitlines() if line.startswith("evolution_solver_refused_requests_total"))
    assert float(refused.split()[-1]) == statuses.count(429)
    assert "\nevolution_solver_waiting_requests 0.0" in metrics
    assert "\nevolution_solver_questions_total" in metrics


def test_the_probe_writes_what_the_solver_thinks(
    server: Server, job: StageInput, own: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_SOLVER_URL, server.url)
    monkeypatch.setenv(ENV_SHARD, "0")
    summary = probe.main(job)
    store = run_store(job)
    manifest = committed(store, job.uid, manifest_key(1, "probe", 0))
    assert manifest is not None
    rows = from_parquet(read_file(store, manifest, f"{part(1, 'probe', 0)}.parquet"), ProbeResult)
    assert [row.question for row in rows] == [question(scene, i).id for scene in SCENES for i in range(6)]
    assert summary.probed == sum(summary.labels.values()) == 24
    for at, lender in ((0, "room-2"), (6, "room-3"), (12, "room-0")):
        pairs = [probe.pair(job, question(rows[at].scene, i)) for i in range(6)]
        assert [r.confidence for r in rows[at : at + 6]] == pytest.approx(own(rows[at].scene, pairs), abs=1e-6)
        assert [r.confidence_elsewhere for r in rows[at : at + 6]] == pytest.approx(own(lender, pairs), abs=1e-6)


def test_a_server_killed_at_work_leaves_a_probe_that_gives_up_in_a_sentence(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = stage(workplace, "u-killed", timeout_seconds=2, per_scene=200)
    monkeypatch.setenv(ENV_SHARD, "0")
    with Server(of, workplace) as doomed:
        doomed.wait_until_ready()
        monkeypatch.setenv(ENV_SOLVER_URL, doomed.url)

        def kill_at_work() -> None:
            while "evolution_solver_questions_total 0.0" in httpx.get(f"{doomed.url}/metrics", trust_env=False).text:
                time.sleep(0.01)
            doomed.process.kill()

        killer = threading.Thread(target=kill_at_work)
        killer.start()
        with pytest.raises(TimeoutError, match=r"did not answer within probe\.timeoutSeconds = 2 .*raise probe\.timeoutSeconds"):
            probe.main(of)
        killer.join()
    assert committed(run_store(of), of.uid, manifest_key(1, "probe", 0)) is None


def test_sigterm_ends_a_server_at_work_at_once(job: StageInput, workplace: Path) -> None:
    def ask_for_long() -> str | int:
        try:
            return post(server, {"instances": [{"scene": "room-0", "pairs": (PAIRS * 64)[:64]}] * 16}).status_code
        except httpx.TransportError as error:
            return type(error).__name__

    with Server(job, workplace) as server, ThreadPoolExecutor(ADMITTED) as crowd:
        server.wait_until_ready()
        asked = [crowd.submit(ask_for_long) for _ in range(ADMITTED)]
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        assert server.last_words() == LastWords()
        outcomes = [reply.result() for reply in asked]
    # Each of them but 200 is what the client asks again after; a server that drained its queue would answer all.
    assert set(outcomes) <= {"RemoteProtocolError", "ReadError", "ConnectError", 200, 500, 503}
    assert outcomes.count(200) < ADMITTED


def test_sigterm_while_loading_ends_it_with_last_words(job: StageInput, workplace: Path) -> None:
    with Server(job, workplace) as server:
        while '"level"' not in server.log.read_text() and not server.words.exists():  # any log line: the handler stands
            time.sleep(0.05)
            if server.process.poll() is not None:
                pytest.fail(server.log.read_text())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 143
        assert server.last_words().error == "terminated by SIGTERM"


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(job: StageInput, workplace: Path) -> None:
    with socket.socket() as squatter:
        squatter.bind(("0.0.0.0", 0))
        squatter.listen()
        with Server(job, workplace, squatter.getsockname()[1]) as server:
            assert server.process.wait(timeout=60) == 1
            words = server.last_words()
            assert f"port {server.port} cannot be listened to: Address already in use" in (words.error or "")
            assert words.retryable


def test_a_model_folder_without_weights_ends_it_for_good(workplace: Path) -> None:
    (workplace / "empty").mkdir()
    (workplace / "empty" / "config.json").write_text("{}")
    of = stage(workplace, "u-empty", timeout_seconds=2, model="empty")
    with Server(of, workplace) as server:
        assert server.process.wait(timeout=START_LIMIT_S) == 2
        words = server.last_words()
        assert "has no weights" in (words.error or "")
        assert not words.retryable
