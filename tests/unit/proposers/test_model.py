"""The model proposer against a scripted OpenAI-compatible server, with the real sandbox and filters behind it."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from evolution_api.kinds import KINDS
from evolution_api.question import Question, Rejection
from evolution_api.run.generation import Endpoint, Filters
from evolution_api.scene import Scene
from evolution_api.summaries import ProposerUsage
from evolution_jobs.proposers import endpoint
from evolution_jobs.proposers.endpoint import EndpointModel
from evolution_jobs.proposers.model import ModelProposer
from evolution_jobs.proposers.proposer import SceneFailedError, SceneTask
from evolution_jobs.questions.check import check
from evolution_jobs.questions.sandbox import Sandbox


def proposal(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "object_abs_distance",
        "text": "How far is the table from the bed, between their closest points (in meters)?",
        "answer_type": "number",
        "options": [],
        "unit": "m",
        "program": "round(distance(one('table'), one('bed')), 1)",
        "labels": ["table", "bed"],
        "level": 0,
        **changes,
    }


PIANO = proposal(
    text="How far is the table from the piano?", program="distance(one('table'), one('piano'))", labels=["table", "piano"]
)
CHAIR = proposal(
    text="How far is the table from the chair?", program="distance(one('table'), one('chair'))", labels=["table", "chair"]
)
OTHER = proposal(
    kind="object_counting",
    text="How many chair(s) are in this room?",
    answer_type="count",
    unit=None,
    program="len(objects('chair'))",
    labels=["chair"],
    level=1,
)


def reply(*proposals: Any) -> str:
    return json.dumps({"questions": proposals})


def verdicts(*words: str) -> str:
    listed = [{"question": i, "verdict": word, "why": f"because of {i}"} for i, word in enumerate(words, start=1)]
    return json.dumps({"verdicts": listed})


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BACKOFF_S", 0.001)


@pytest.fixture
def propose(server: Any, room: Scene) -> Callable[..., tuple[SceneTask, ModelProposer]]:
    """Ask for `wanted` questions about the room; settings are those of `generation.proposer.endpoint`."""
    sandbox = Sandbox()

    def run(wanted: int = 1, **settings: Any) -> tuple[SceneTask, ModelProposer]:
        chosen = Endpoint.model_validate({"url": server.url, "model": "scripted", **settings})
        proposer = ModelProposer(EndpointModel(chosen.url, chosen.model, chosen, api_key=None), chosen, KINDS)
        ids: set[str] = set()

        def judge(proposal: Any) -> Question | Rejection:
            result = check(
                proposal,
                room,
                sandbox=sandbox,
                filters=Filters(drop_blind=False),
                round_=3,
                proposer="scripted",
                accepted_ids=ids,
            )
            if isinstance(result, Question):
                ids.add(result.id)
            return result

        task = SceneTask(
            scene=room,
            images=[Image.new("RGB", (64, 48), "grey")] * 3,
            wanted=wanted,
            last=(),
            shard={},
            rng=random.Random(0),
            round=3,
            proposer=proposer.name,
            judge=judge,
            known=ids,
        )
        asyncio.run(proposer.ask(task))
        return task, proposer

    return run


def reasons(task: SceneTask) -> Counter[str]:
    return Counter(r.reason for r in task.rejected)


def test_a_good_proposal_is_answered_by_its_program_and_names_its_prompt(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(proposal())), says(verdicts("keep"))]
    task, proposer = propose()
    (question,) = task.accepted
    # The table ends at x = 1.6, y = 1.4, the bed begins at x = 2.0, y = 2.2: hypot(0.4, 0.8) = 0.894 m
    assert question.answer == "0.9"
    assert question.proposer == "scripted"
    assert question.round == 3
    assert proposer.prompts()[question.prompt_sha256] == server.requests[0]["messages"][0]["content"][-1]["text"]
    assert proposer.usage() == ProposerUsage(
        calls=2, calls_retried=0, calls_failed=0, tokens_in=200, tokens_out=20, scenes_over_budget=0, verdicts_missing=0
    )


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        pytest.param(proposal(program="import os\nos.listdir('/')"), {"program_forbidden"}, id="opens-the-system"),
        pytest.param(proposal(program="open('/etc/passwd').read()"), {"program_forbidden"}, id="opens-a-file"),
        pytest.param(proposal(program="while True:\n    pass"), {"program_timeout"}, id="loops"),
        pytest.param(proposal(program="[0] * 10**10"), {"program_memory"}, id="allocates"),
        pytest.param(proposal(program="def f():\n    return f()\nf()"), {"program_recursion"}, id="recurses"),
        pytest.param(proposal(program="distance("), {"program_syntax"}, id="does-not-parse"),
        pytest.param(proposal(program="1 / 0"), {"program_error"}, id="raises"),
        pytest.param(proposal(program="'far'"), {"wrong_type"}, id="returns-a-word-for-a-number"),
        pytest.param(PIANO, {"missing_object"}, id="invents-an-object"),
        pytest.param(CHAIR, {"ambiguous_object"}, id="one-of-two"),
        pytest.param({"kind": "route_plan"}, {"malformed_proposal"}, id="wrong-fields"),
        pytest.param(proposal(answer="3"), {"malformed_proposal"}, id="states-an-answer"),
    ],
)
def test_what_is_wrong_with_a_proposal_is_a_counted_reason(
    server: Any, says: Any, propose: Any, bad: dict[str, Any], expected: set[str]
) -> None:
    server.script = [says(reply(bad, OTHER)), says(verdicts("keep"))]
    task, _ = propose()
    assert set(reasons(task)) == expected
    assert task.proposed == 2
    assert [q.answer for q in task.accepted] == ["2"]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param("", id="empty"),
        pytest.param("chair chair chair", id="words"),
        pytest.param('{"questions": 3', id="broken-json"),
        pytest.param("\x00\ud83d", id="broken-unicode"),
    ],
)
def test_garbage_ends_as_malformed_after_a_bounded_number_of_calls(server: Any, says: Any, propose: Any, garbage: str) -> None:
    server.script = [says(garbage)]
    task, proposer = propose(wanted=12, max_tokens=1024)
    assert task.accepted == []
    assert set(reasons(task)) == {"malformed_proposal"}
    assert proposer.usage().calls == len(server.requests) == 4  # two would do for 12 questions at 6 a call


def test_the_second_look_drops_what_is_guessable_or_contradicted(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(proposal(), OTHER)), says(verdicts("guessable", "contradicted")), says(reply())]
    task, _ = propose(wanted=2)
    assert task.accepted == []
    dropped = {r.reason: r for r in task.rejected if r.reason != "malformed_proposal"}
    assert set(dropped) == {"blind", "contradicted"}
    assert dropped["blind"].text == proposal()["text"]
    assert dropped["contradicted"].detail == "the proposer's second look calls it contradicted: because of 2"
    look = server.requests[1]
    assert look["temperature"] == 0
    assert "How many chair(s) are in this room?\n   Answer: 2" in look["messages"][0]["content"][-1]["text"]


def test_a_second_look_that_cannot_be_read_drops_nothing_and_is_counted(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(proposal())), says("looks fine to me")]
    task, proposer = propose()
    assert len(task.accepted) == 1
    assert proposer.usage().verdicts_missing == 1


def test_without_second_look_there_is_one_call(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(proposal()))]
    task, _ = propose(second_look=False)
    assert len(task.accepted) == len(server.requests) == 1


def test_a_second_call_tells_what_was_taken_and_dropped(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(OTHER, PIANO)), says(reply(proposal()))]
    task, _ = propose(wanted=2, second_look=False)
    assert len(task.accepted) == 2
    text = server.requests[1]["messages"][0]["content"][-1]["text"]
    assert "- taken: How many chair(s)" in text
    assert "- dropped, missing_object: How far is the table from the piano?" in text
    assert "Write 1 new questions" in text


def test_the_same_question_twice_is_a_duplicate(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(OTHER, OTHER, proposal()))]
    task, _ = propose(wanted=2, second_look=False)
    assert reasons(task) == {"duplicate": 1}
    assert len(task.accepted) == 2


def test_no_more_is_taken_than_was_wanted(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(OTHER, proposal()))]
    task, _ = propose(wanted=1, second_look=False)
    assert [q.kind for q in task.accepted] == ["object_counting"]
    assert task.proposed == 1


def test_a_429_is_waited_out(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(status=429), says(reply(proposal())), says(verdicts("keep"))]
    task, proposer = propose()
    assert len(task.accepted) == 1
    assert proposer.usage().calls_retried == 1


def test_a_scene_whose_first_call_fails_for_good_is_skipped(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(status=500, raw="broken")]
    with pytest.raises(SceneFailedError, match="500 broken"):
        propose(retries=1)


def test_a_call_that_fails_later_leaves_what_came_before(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(OTHER)), says(status=500)]
    task, proposer = propose(wanted=2, retries=0)
    assert len(task.accepted) == 1
    assert proposer.usage().calls_failed == 1
    assert proposer.usage().verdicts_missing == 1


def test_a_spent_token_budget_ends_the_asking(server: Any, says: Any, propose: Any) -> None:
    server.script = [says(reply(OTHER))]
    task, proposer = propose(wanted=2, second_look=False, token_budget=10)
    assert server.requests == []
    assert (task.accepted, proposer.usage().scenes_over_budget) == ([], 1)


def test_a_call_is_made_only_while_the_budget_has_room_for_it(server: Any, says: Any, propose: Any) -> None:
    server.script = [says("nothing")]
    _, proposer = propose(wanted=60, second_look=False, token_budget=5000)
    usage = proposer.usage()
    assert 1 < usage.calls < 20
    assert usage.tokens_in + usage.tokens_out <= 5000
    assert usage.scenes_over_budget == 1
