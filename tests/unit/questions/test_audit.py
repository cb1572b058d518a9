"""Official questions recomputed from their sentences, and files of other shapes."""

import json
from pathlib import Path
from typing import Any

import pytest

from evolution_api.scene import Scene
from evolution_jobs.questions.audit import AuditReport, audit
from evolution_jobs.scenes.vsibench import scenes_from_metadata

ANSWERED = (
    "object_counting",
    "object_size_estimation",
    "room_size_estimation",
    "object_rel_distance",
    "object_rel_direction_easy",
    "object_rel_direction_medium",
    "object_rel_direction_hard",
)


def row(kind: str, text: str, truth: object, **more: object) -> dict[str, object]:
    return {"dataset": "test", "scene_name": "room", "question_type": kind, "question": text, "ground_truth": truth, **more}


def run(rows: list[Any], room: Scene, tmp_path: Path, **options: Any) -> AuditReport:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return audit(path, {"room": room}, **options)


@pytest.mark.parametrize("distance", ["vsi", "exact"])
def test_the_official_questions_agree(distance: Any, real_data: Path) -> None:
    folder = real_data / "vsibench"
    report = audit(folder / "questions.jsonl", scenes_from_metadata(folder / "meta"), distance)
    assert sum(a.asked for a in report.types.values()) == 375
    for kind in ANSWERED:
        agreement = report.types[kind]
        assert agreement.asked == agreement.answered == agreement.agreed > 0, (kind, report.disagreements)
    apart = report.types["object_abs_distance"]
    assert apart.asked == apart.answered == 158
    if distance == "vsi":
        assert apart.agreed == 158
    assert apart.mra is not None
    assert apart.mra >= (1.0 if distance == "vsi" else 0.96)
    for kind in ("obj_appearance_order", "route_planning"):
        assert report.types[kind].answered == 0
        assert all("missing_metadata" in d.reason for d in report.disagreements if d.question_type == kind)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(row("object_counting", "How many chair(s) are in this room?", "2"), id="count"),
        pytest.param(row("object_counting", "How many chairs are in this room?", 2), id="plural and a number"),
        pytest.param(row("object_counting", "How many CHAIR(S) are there?", 2.0), id="capitals"),
        pytest.param(
            row("object_size_estimation", "What is the longest dimension of the couch in centimeters?", "200"), id="alias"
        ),
        pytest.param(row("room_size_estimation", "What is the size of this room?", 30.2, options=None), id="room"),
        pytest.param(row("object_abs_distance", "Distance between the sofa and the table (in meters)?", 2.5), id="distance"),
        pytest.param(
            row(
                "object_rel_distance",
                "Which of these objects (bed, sofa) is the closest to the table?",
                "A",
                options=["A. bed", "B. sofa"],
            ),
            id="nearest",
        ),
        pytest.param(
            row(
                "object_rel_distance",
                "Which of these objects (bed, sofa) is the closest to the table?",
                "bed",
                options=["A. bed", "B. sofa"],
            ),
            id="nearest, answer in words",
        ),
        pytest.param(
            row("object_rel_distance", "Which object is the closest to the table?", "B", options=["sofa", "bed"]),
            id="candidates in the options only, without letters",
        ),
        pytest.param(
            row("object_rel_distance", "Which of (bed, sofa) is the closest to the table?", "A", options="['A. bed', 'B. sofa']"),
            id="options as text",
        ),
        pytest.param(
            row(
                "object_rel_direction_easy",
                "If I am standing by the table and facing the lamp, is the sofa to the left or the right of the lamp?",
                "right",
            ),
            id="direction without options",
        ),
    ],
)
def test_other_wordings_of_the_format_are_read(asked: dict[str, object], room: Scene, tmp_path: Path) -> None:
    report = run([asked, ""], room, tmp_path)
    (agreement,) = report.types.values()
    assert (agreement.asked, agreement.answered, agreement.agreed) == (1, 1, 1), report.disagreements


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param(row("object_counting", "How many chair(s) are in this room?", "3"), "differs by -1", id="another count"),
        pytest.param(row("object_counting", "How many coat racks are in this room?", "3"), "missing_object", id="no such label"),
        pytest.param(row("object_size_estimation", "How long is the chair?", "50"), "ambiguous_object", id="two of them"),
        pytest.param(
            {**row("object_counting", "How many chairs?", 2), "scene_name": "else"}, "no scene 'else'", id="no such scene"
        ),
        pytest.param(row("object_stacking", "What stands on what?", "A"), "none of VSI-Bench's", id="no such type"),
        pytest.param(row("route_planning", "You are a robot", "A"), "written by people", id="route"),
        pytest.param(row("object_counting", "How many chairs?", "a few"), "no number", id="an official answer that is no number"),
    ],
)
def test_a_disagreement_says_why(asked: dict[str, object], words: str, room: Scene, tmp_path: Path) -> None:
    report = run([asked], room, tmp_path)
    (found,) = report.disagreements
    assert words in found.reason
    assert found.line == 1


def test_a_label_of_another_scene_is_not_taken_for_a_part_of_it(room: Scene, tmp_path: Path) -> None:
    lamp = next(o for o in room.objects if o.id == "lamp")
    other = room.model_copy(update={"id": "other", "objects": (lamp.model_copy(update={"label": "lava lamp"}),), "counts": None})
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(row("object_counting", "How many lava lamp(s) are in this room?", "1")))
    report = audit(path, {"room": room, "other": other})
    assert "lava lamp" in report.disagreements[0].reason


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"question": "How many?"}', json.dumps(row("object_counting", "?", 1, options=3))]
)
def test_a_line_of_another_format_is_refused_by_its_number(line: str, room: Scene, tmp_path: Path) -> None:
    good = row("object_counting", "How many chairs?", 2)
    with pytest.raises(ValueError, match="line 2"):
        run([good, line], room, tmp_path)


def test_the_report_as_json_has_the_three_counts(room: Scene, tmp_path: Path) -> None:
    report = run([row("object_counting", "How many chairs?", 2), row("route_planning", "?", "A")], room, tmp_path)
    assert report.as_json() == {
        "object_counting": {"asked": 1, "answered": 1, "agreed": 1},
        "route_planning": {"asked": 1, "answered": 0, "agreed": 0},
    }
