"""What is made of a model's replies, good and bad."""

import json

import jsonschema
import pytest

from evolution_api.kinds import KINDS
from evolution_api.question import Proposal
from evolution_jobs.proposers.replies import Malformed, proposal_schema, read_proposals, read_verdicts, verdict_schema

GOOD = {
    "kind": "object_counting",
    "text": "How many chairs are there?",
    "answer_type": "count",
    "options": [],
    "unit": None,
    "program": 'count("chair")',
    "labels": ["chair"],
    "level": 1,
}
REPLY = json.dumps({"questions": [GOOD, GOOD]})


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(REPLY, id="as-asked"),
        pytest.param(f"```json\n{REPLY}\n```", id="in-fences"),
        pytest.param(f"<think>A {{good}} one [1]</think> Here you are:\n{REPLY}\nEnjoy!", id="with-chatter-and-brackets"),
        pytest.param(json.dumps([GOOD, GOOD]), id="a-bare-list"),
        pytest.param(f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}", id="an-object-a-line"),
        pytest.param(REPLY[: REPLY.rindex("}]")] + "}", id="the-outer-brackets-missing"),
        pytest.param(f'{{"questions": []}} wait, no: {REPLY}', id="said-twice-the-last-counts"),
    ],
)
def test_proposals_are_found_however_they_are_wrapped(reply: str) -> None:
    assert read_proposals(reply, KINDS) == [Proposal.model_validate(GOOD)] * 2


def test_of_a_reply_that_was_cut_off_the_whole_questions_are_kept() -> None:
    cut = REPLY[: len(REPLY) - 40]
    assert [type(p) for p in read_proposals(cut, KINDS)][:1] == [Proposal]
    assert Proposal.model_validate(GOOD) in read_proposals(cut, KINDS)


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        pytest.param("", "no list of questions", id="empty"),
        pytest.param("I cannot see any images.", "no list of questions", id="prose"),
        pytest.param("{" * 100_000, "no list of questions", id="nothing-but-brackets"),
        pytest.param('[{"a":' * 50_000, "no list of questions", id="deeper-than-any-stack"),
        pytest.param('{"questions": []}', "no list of questions", id="an-empty-list"),
        pytest.param('{"questions": {"0": 1}}', "kind: Field required", id="an-object-for-a-list"),
        pytest.param('{"questions": ["How many chairs?"]}', "a JSON object", id="a-string-for-a-question"),
        pytest.param('{"questions": [null]}', "a JSON object", id="null-for-a-question"),
        pytest.param(json.dumps({"questions": [GOOD | {"kind": "route_plan"}]}), "kind: Input should be", id="an-invented-kind"),
        pytest.param(json.dumps({"questions": [GOOD | {"answer": 2}]}), "answer: Extra inputs", id="an-answer-of-its-own"),
        pytest.param(json.dumps({"questions": [GOOD | {"program": ""}]}), "program: String should", id="no-program"),
        pytest.param(json.dumps({"questions": [GOOD | {"options": ["a", "b"]}]}), "leave them out", id="options-for-a-count"),
        pytest.param(json.dumps({"questions": [GOOD | {"text": "\ud800"}]}), "text: ", id="broken-unicode"),
        pytest.param(json.dumps({"questions": [GOOD | {"text": ["x"] * 9999}]}), "text: ", id="a-list-for-a-text"),
        pytest.param('{"questions": [{"level": 1e999}]}', "level: ", id="infinity-for-a-level"),
        pytest.param(f'{{"questions": [{{"level": {"9" * 5000}}}]}}', "no list of questions", id="a-number-of-5000-digits"),
    ],
)
def test_garbage_is_malformed_with_its_reason(reply: str, detail: str) -> None:
    (malformed,) = read_proposals(reply, KINDS)
    assert isinstance(malformed, Malformed)
    assert detail in malformed.detail
    for text in (malformed.detail, malformed.kind, malformed.text, malformed.program):
        assert len(text.encode()) < 10_000


def test_a_kind_that_the_run_does_not_ask_for_is_malformed() -> None:
    (malformed,) = read_proposals(json.dumps([GOOD]), ["room_size_estimation"])
    assert malformed == Malformed(
        "kind object_counting is not among generation.kinds",
        kind="object_counting",
        text="How many chairs are there?",
        program='count("chair")',
    )


def test_one_bad_question_does_not_spoil_its_neighbours() -> None:
    read = read_proposals(json.dumps({"questions": [GOOD, 7, GOOD]}), KINDS)
    assert [isinstance(p, Proposal) for p in read] == [True, False, True]


def test_the_schemas_are_schemas_and_take_what_is_wanted() -> None:
    for schema, good in (
        (proposal_schema(KINDS), {"questions": [GOOD]}),
        (verdict_schema(), {"verdicts": [{"question": 1, "verdict": "keep", "why": ""}]}),
    ):
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(good, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"questions": [GOOD]}, proposal_schema(["room_size_estimation"]))


def test_the_schema_names_every_field_of_a_proposal() -> None:
    item = proposal_schema(KINDS)["properties"]["questions"]["items"]
    assert set(item["properties"]) == set(item["required"]) == set(Proposal.model_fields)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(
            '{"verdicts": [{"question": 1, "verdict": "keep", "why": ""}, {"question": 2, "verdict": "guessable", "why": "2"}]}',
            {1: ("keep", ""), 2: ("guessable", "2")},
            id="as-asked",
        ),
        pytest.param('[{"question": 2, "verdict": "contradicted"}]', {2: ("contradicted", "")}, id="a-bare-list-without-why"),
        pytest.param('{"verdicts": [{"question": 3, "verdict": "keep"}]}', {}, id="a-question-that-was-not-asked"),
        pytest.param('{"verdicts": [{"question": true, "verdict": "guessable"}]}', {}, id="true-is-no-number"),
        pytest.param('{"verdicts": [{"question": 1, "verdict": "bad"}]}', {}, id="an-unknown-verdict"),
        pytest.param('{"verdicts": [{"question": 1, "verdict": ["keep"]}]}', {}, id="an-unhashable-verdict"),
        pytest.param('{"verdicts": "all fine"}', {}, id="a-string-for-a-list"),
        pytest.param("all fine", {}, id="prose"),
    ],
)
def test_verdicts_that_cannot_be_read_are_left_out(reply: str, expected: dict[int, tuple[str, str]]) -> None:
    assert read_verdicts(reply, questions=2) == expected
