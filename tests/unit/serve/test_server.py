"""The model behind KServe: who is admitted, who is refused with which words, and that one thread does the work."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import HTTPException
from kserve.errors import InvalidInput
from PIL import Image

from evolution_jobs.scenes.library import SceneError
from evolution_jobs.serve.server import MAX_WAITING, RETRY_AFTER_S, SolverModel
from evolution_storage.store import StorageError

FRAME = Image.new("RGB", (8, 8))


def frames_of(scene: str) -> list[Image.Image]:
    if scene == "broken":
        raise SceneError("frame 3 is truncated")
    if scene == "unreachable":
        raise StorageError("s3://bucket/x: the server is away")
    return [FRAME] * len(scene)


def by_length(frames: Sequence[Image.Image], prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """A number that shows which frames, prompt and answer came together."""
    return [len(frames) / 10 + len(p) / 100 + len(a) / 1000 for p, a in zip(prompts, answers, strict=True)]


def body(*instances: tuple[str, list[list[str]]]) -> dict[str, Any]:
    return {"instances": [{"scene": scene, "pairs": pairs} for scene, pairs in instances]}


def predict(payload: object, confidences: Any = by_length) -> Any:
    model = SolverModel(frames_of, confidences)
    try:
        return asyncio.run(model.predict(payload))
    finally:
        model.stop()


def test_every_pair_of_every_instance_is_answered_in_order() -> None:
    payload = body(("a", [["qq", "yes"], ["q", "no"]]), ("aaa", [["qqq", "1"]]))
    assert predict(payload) == {
        "predictions": [
            {"confidences": [pytest.approx(0.123), pytest.approx(0.112)]},
            {"confidences": [pytest.approx(0.331)]},
        ]
    }


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (b"\x89PNG", "the request"),
        ({}, "instances"),
        ({"instances": []}, "instances"),
        ({"instances": [{"scene": "a"}]}, r"instances\.0\.pairs"),
        ({"instances": [{"scene": "a", "pairs": []}]}, r"instances\.0\.pairs"),
        ({"instances": [{"scene": "a", "pairs": [["q"]]}]}, r"instances\.0\.pairs\.0\.1"),
        ({"instances": [{"scene": "a", "pairs": [["q", "a"]] * 65}]}, r"instances\.0\.pairs"),
        ({"instances": [{"scene": "a", "pairs": [["q", "a"]]}] * 17}, "instances"),
        ({"instances": [{"scene": "../a", "pairs": [["q", "a"]]}]}, r"instances\.0\.scene"),
        ({"instances": [{"scene": "a", "frames": ["..."], "pairs": [["q", "a"]]}]}, r"instances\.0\.frames"),
    ],
    ids=[
        "bytes",
        "empty",
        "no instance",
        "no pairs",
        "empty pairs",
        "half a pair",
        "more pairs than are packed",
        "too many scenes",
        "path for a scene",
        "unknown field",
    ],
)
def test_a_request_of_another_shape_is_the_client_s_fault_and_says_where(payload: object, where: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{where}: .*ask with"):
        predict(payload)


@pytest.mark.parametrize(
    ("scene", "status", "words"),
    [("broken", 422, "scene broken: frame 3 is truncated"), ("unreachable", 503, "the server is away")],
)
def test_frames_that_cannot_be_read(scene: str, status: int, words: str) -> None:
    with pytest.raises(HTTPException) as refused:
        predict(body((scene, [["q", "a"]])))
    assert refused.value.status_code == status
    assert words in str(refused.value.detail)


def test_a_confidence_that_is_no_number_is_null() -> None:
    answer = predict(body(("a", [["q", "a"], ["q", "b"]])), lambda *_: [float("nan"), 0.5])
    assert answer == {"predictions": [{"confidences": [None, 0.5]}]}


def test_past_the_bound_requests_are_refused_and_told_when_to_come_back() -> None:
    release = threading.Event()
    threads: set[int] = set()

    def slow(*_: object) -> list[float]:
        threads.add(threading.get_ident())
        release.wait(5)
        return [0.5]

    async def crowd() -> list[Any]:
        model = SolverModel(frames_of, slow)
        request = body(("a", [["q", "a"]]))
        under_way = [asyncio.create_task(model.predict(request)) for _ in range(MAX_WAITING + 3)]
        await asyncio.sleep(0.05)
        release.set()
        answers = await asyncio.gather(*under_way, return_exceptions=True)
        assert model.admission.waiting == 0
        answers.append(await model.predict(request))
        model.stop()
        return answers

    *answers, afterwards = asyncio.run(crowd())
    good = {"predictions": [{"confidences": [0.5]}]}
    assert answers[:MAX_WAITING] == [good] * MAX_WAITING
    for refused in answers[MAX_WAITING:]:
        assert isinstance(refused, HTTPException)
        assert refused.status_code == 429
        assert refused.headers == {"Retry-After": str(RETRY_AFTER_S)}
    assert afterwards == good
    assert len(threads) == 1


def test_a_failed_request_gives_its_place_back() -> None:
    async def fail_often() -> Any:
        model = SolverModel(frames_of, by_length)
        for _ in range(2 * MAX_WAITING):
            with pytest.raises(HTTPException):
                await model.predict(body(("broken", [["q", "a"]])))
        answer = await model.predict(body(("a", [["q", "a"]])))
        model.stop()
        return answer

    assert asyncio.run(fail_often())
