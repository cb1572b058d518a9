"""Recomputes the official answers of a file in VSI-Bench's format with the same programs that make our own questions.

Called by `evolution audit`. It has the sentence, the options and the scene; the objects are found in the sentence alone
(a `categories` column is not read). No filter applies: every question that the metadata can answer is answered.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evolution_api.run.generation import Sandbox as Limits
from evolution_api.scene import Scene
from evolution_jobs.questions.kinds import (
    direction,
    object_abs_distance,
    object_counting,
    object_rel_direction_easy,
    object_rel_direction_hard,
    object_rel_direction_medium,
    object_rel_distance,
    object_size_estimation,
    room_size_estimation,
)
from evolution_jobs.questions.sandbox import Sandbox
from evolution_jobs.questions.scoring import first_number, mean_relative_accuracy
from evolution_jobs.questions.sentence import ALIASES, labels_in

Distance = Literal["vsi", "exact"]
LIMITS = Limits(timeout_milliseconds=20_000, memory_mebibytes=256)
"""Our own programs over large official boxes: the grids of the VSI rule take time."""
SLACK = 1e-9
"""Two rounded decimals are equal within this."""
COLUMNS = ("scene_name", "question_type", "question", "ground_truth")
NUMERIC = {"object_counting", "object_size_estimation", "room_size_estimation", "object_abs_distance"}
UNANSWERABLE = {
    "obj_appearance_order": "missing_metadata: the metadata does not say when an object is first seen",
    "route_planning": "missing_metadata: routes were written by people; the metadata has no answer",
}


class UnanswerableError(ValueError):
    """Why a question cannot be answered from metadata."""


@dataclass(frozen=True)
class Disagreement:
    line: int
    """Line of the file, from 1."""
    scene: str
    question_type: str
    question: str
    official: str
    ours: str | None
    """None where there is no answer."""
    reason: str


@dataclass
class Agreement:
    asked: int = 0
    answered: int = 0
    agreed: int = 0
    mra: float | None = None
    """Mean relative accuracy of ours against the official numbers; None for choices and where nothing was answered."""


@dataclass
class AuditReport:
    types: dict[str, Agreement] = field(default_factory=dict)
    disagreements: list[Disagreement] = field(default_factory=list)
    """Unanswered questions included."""

    def as_json(self) -> dict[str, dict[str, int]]:
        return {t: {"asked": a.asked, "answered": a.answered, "agreed": a.agreed} for t, a in sorted(self.types.items())}


@dataclass(frozen=True)
class _Row:
    """What is read of a line, as text, and the scene it asks about."""

    scene_name: str
    question_type: str
    question: str
    ground_truth: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """One question with its scene."""

    row: _Row
    scene: Scene
    everywhere: frozenset[str]
    """Labels of all scenes."""
    distance: Distance


def audit(questions_path: Path, scenes: Mapping[str, Scene], distance: Distance = "exact") -> AuditReport:
    """Answers every line of the file over its scene. Raises ValueError for a line that is no question of this format."""
    report, sandbox = AuditReport(), Sandbox(LIMITS)
    scenes = {name: _without_doubles(scene) for name, scene in scenes.items()}
    everywhere = frozenset(label for scene in scenes.values() for label in _labels(scene))
    accuracies: dict[str, list[float]] = {}
    for number, line in enumerate(questions_path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        row = _row(line, f"{questions_path}, line {number}")
        agreement = report.types.setdefault(row.question_type, Agreement())
        agreement.asked += 1
        ours = None
        try:
            ours = _answer(_Asked(row, _scene_of(row, scenes), everywhere, distance), sandbox)
            agreement.answered += 1
            reason = _difference(row, ours, accuracies.setdefault(row.question_type, []))
        except UnanswerableError as error:
            reason = str(error)
        if not reason:
            agreement.agreed += 1
            continue
        report.disagreements.append(
            Disagreement(number, row.scene_name, row.question_type, row.question, row.ground_truth, ours, reason)
        )
    for kind, values in accuracies.items():
        report.types[kind].mra = sum(values) / len(values) if values else None
    return report


def _row(line: str, where: str) -> _Row:
    try:
        raw = json.loads(line)
        columns = {name: str(raw[name]).strip() for name in COLUMNS}
        options = raw.get("options") or ()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{where} is no VSI-Bench question ({type(error).__name__}: {error}); each line is a JSON object with dataset, "
            "scene_name, question_type, question, options, ground_truth"
        ) from error
    if isinstance(options, str):  # some copies hold the list as its own text
        options = re.findall(r"""["'](.*?)["'](?=\s*[,\]])""", options)
    if not isinstance(options, list | tuple):
        raise ValueError(f"{where}: options {options!r} are no list; give the options as a JSON list of strings")  # noqa: TRY004
    return _Row(**columns, options=tuple(map(str, options)))


def _scene_of(row: _Row, scenes: Mapping[str, Scene]) -> Scene:
    """The question's scene; raises UnanswerableError where its type or its scene cannot be answered."""
    if row.question_type in UNANSWERABLE:
        raise UnanswerableError(UNANSWERABLE[row.question_type])
    if row.question_type not in PROGRAMS:
        raise UnanswerableError(f"the type {row.question_type!r} is none of VSI-Bench's")
    if row.scene_name not in scenes:
        raise UnanswerableError(f"missing_metadata: no scene {row.scene_name!r} among the scenes given")
    return scenes[row.scene_name]


def _answer(asked: _Asked, sandbox: Sandbox) -> str:
    """The program's answer; raises UnanswerableError with the reason."""
    outcome = sandbox.run(PROGRAMS[asked.row.question_type](asked), asked.scene)
    if outcome.reason is not None:
        raise UnanswerableError(f"{outcome.reason}: {outcome.detail}")
    return str(outcome.value)


def _difference(row: _Row, ours: str, accuracies: list[float]) -> str:
    """Why ours is not the official answer; empty if it is."""
    official = row.ground_truth
    if row.question_type in NUMERIC:
        truth, said = first_number(official), first_number(ours)
        if truth is None or said is None:
            return f"the official answer {official!r} is no number"
        accuracies.append(mean_relative_accuracy(truth, said))
        return "" if abs(truth - said) <= SLACK else f"ours differs by {said - truth:+.3g}"
    letter = re.fullmatch(r"\(?([A-Za-z])\)?[.:]?", official)
    words = _options(row).get(letter[1].upper(), official) if letter else re.sub(r"^[A-Z][.):]\s*", "", official)
    return "" if words.strip().lower() == ours.lower() else f"official is {words!r}"


def _options(row: _Row) -> dict[str, str]:
    """Letter -> words; options without a letter count from A on."""
    letters: dict[str, str] = {}
    for i, option in enumerate(row.options):
        match = re.match(r"^\(?([A-Z])[.):]+\s*(.*)$", option.strip())
        letter, words = (match[1], match[2]) if match else (chr(ord("A") + i), option)
        letters[letter] = words.strip()
    return letters


def _labels(scene: Scene) -> set[str]:
    return {*(o.label for o in scene.objects), *(scene.counts or ())}


def _without_doubles(scene: Scene) -> Scene:
    """The scene with each box once per label: official metadata lists `printer` boxes twice. Counts stay as stated."""
    first = {(o.label, o.box.center, o.box.size): o for o in reversed(scene.objects)}
    if len(first) == len(scene.objects):
        return scene
    ids = {o.id for o in first.values()}
    return scene.model_copy(update={"objects": tuple(o for o in scene.objects if o.id in ids)})


def _find(asked: _Asked, text: str, number: int) -> list[str]:
    """Exactly `number` labels in the text, all of them in the scene.

    Labels of all scenes are looked for, so that a coat rack that this scene lacks is not taken for its rack.
    """
    here = _labels(asked.scene)
    named = [label if label in here else ALIASES.get(label, label) for label in labels_in(text, asked.everywhere)]
    strangers = [label for label in named if label not in here]
    if strangers or len(named) != number:
        said = f"does not have {strangers}" if strangers else f"has {named or 'none'} of them"
        raise UnanswerableError(f"missing_object: the question names {number} label(s), and the scene's metadata {said}")
    return named


def _count(asked: _Asked) -> str:
    return object_counting.program(*_find(asked, asked.row.question, 1))


def _size(asked: _Asked) -> str:
    return object_size_estimation.program(*_find(asked, asked.row.question, 1))


def _room(_asked: _Asked) -> str:
    return room_size_estimation.PROGRAM


def _abs_distance(asked: _Asked) -> str:
    a, b = _find(asked, asked.row.question, 2)
    return object_abs_distance.vsi_program(a, b) if asked.distance == "vsi" else object_abs_distance.exact_program(a, b)


def _rel_distance(asked: _Asked) -> str:
    """The candidates stand in the sentence's parentheses or, where there are none, in the options; the target beside them."""
    question = asked.row.question
    listed = re.search(r"\(([^()]*,[^()]*)\)", question)
    names = listed[1].split(",") if listed else list(_options(asked.row).values())
    candidates = [label for name in names for label in _find(asked, name, 1)]
    rest = question.replace(listed[0], "") if listed else question
    targets = [label for label in labels_in(rest, asked.everywhere) if label not in candidates]
    if len(targets) != 1 or targets[0] not in _labels(asked.scene):
        raise UnanswerableError(f"missing_object: the scene's metadata has no one target among {targets or 'no label'}")
    return object_rel_distance.program(targets[0], candidates)


def _direction(grade: direction.Grade) -> Callable[[_Asked], str]:
    def build(asked: _Asked) -> str:
        first_sentence = asked.row.question.split("?")[0]
        return direction.program(grade, *_find(asked, first_sentence, 3))

    return build


PROGRAMS: Mapping[str, Callable[[_Asked], str]] = {
    "object_counting": _count,
    "object_size_estimation": _size,
    "room_size_estimation": _room,
    "object_abs_distance": _abs_distance,
    "object_rel_distance": _rel_distance,
    "object_rel_direction_easy": _direction(object_rel_direction_easy.GRADE),
    "object_rel_direction_medium": _direction(object_rel_direction_medium.GRADE),
    "object_rel_direction_hard": _direction(object_rel_direction_hard.GRADE),
}
"""What answers each of VSI-Bench's types, from the sentence."""
