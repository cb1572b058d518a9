"""The two prompts as text: what a model is told before it proposes, and before it looks a second time.

Called by `model.py`. The wording lies in `prompts/*.md`; here it is filled with the scene, the geometry library's own docstrings
and the feedback. Pure: the same arguments give the same bytes, which the snapshots in the tests hold.
"""

import inspect
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template

from evolution_api.kinds import Kind
from evolution_api.question import Proposal, Question, Rejection
from evolution_api.scene import Frame, Scene, SceneObject
from evolution_jobs.proposers.feedback import Cell, Tally
from evolution_jobs.proposers.proposer import Recalled
from evolution_jobs.proposers.replies import proposal_schema, verdict_schema
from evolution_jobs.questions.geometry import FUNCTIONS, Geometry
from evolution_jobs.questions.kinds import kind as kind_module


def propose_text(
    scene: Scene,
    kinds: Sequence[Kind],
    *,
    wanted: int,
    last: Sequence[Recalled],
    shard: Mapping[Cell, Tally],
    so_far: Sequence[Question | Rejection],
) -> str:
    """`so_far` is what came of the earlier calls about this scene in this round."""
    return _template("propose").substitute(
        frames=len(scene.frames),
        scene=scene_text(scene),
        kinds="\n".join(_kind_text(kind) for kind in kinds),
        geometry=geometry_text(),
        last="\n".join(_recalled_text(recalled) for recalled in last) or "Nothing; this is the first time.",
        labels="\n".join(_cell_text(cell, tally) for cell, tally in sorted(shard.items())) or "Not known yet.",
        wanted=wanted,
        already=_already_text(so_far),
        schema=json.dumps(proposal_schema(kinds)),
    )


def second_look_text(scene: Scene, questions: Sequence[Question]) -> str:
    numbered = (f"{number}. {_question_text(q)}\n   Answer: {q.answer}" for number, q in enumerate(questions, start=1))
    return _template("second_look").substitute(
        frames=len(scene.frames), questions="\n".join(numbered), schema=json.dumps(verdict_schema())
    )


def scene_text(scene: Scene) -> str:
    """Metadata in a line an object and a line a frame; metres and degrees, rounded to what matters to a question."""
    lines = []
    if scene.room_size_m2 is not None:
        lines.append(f"Floor area {scene.room_size_m2:.1f} m2.")
    if scene.counts is not None:
        lines.append("Objects by label: " + ", ".join(f"{label} {n}" for label, n in sorted(scene.counts.items())) + ".")
    lines.append("Objects (id, label, colour; centre x y z; edges along the box's own axes; heading of the first of them):")
    lines += [_object_text(obj) for obj in scene.objects]
    lines.append("Frames (time; camera x y z; object ids in sight with their visible share):")
    lines += [_frame_text(number, frame) for number, frame in enumerate(scene.frames, start=1)]
    return "\n".join(lines)


@cache
def geometry_text() -> str:
    """Signature and docstring of every function that a program can call."""
    return "\n".join(_function_text(name) for name in FUNCTIONS)


@cache
def _template(name: str) -> Template:
    return Template(files("evolution_jobs.proposers").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8").strip())


def _function_text(name: str) -> str:
    function = getattr(Geometry, name)
    signature = inspect.signature(function)
    without_self = signature.replace(parameters=list(signature.parameters.values())[1:])
    return f"- {name}{without_self}\n  {_one_line(inspect.getdoc(function) or '')}"


def _kind_text(kind: Kind) -> str:
    module = kind_module(kind)
    shape = module.SHAPE
    answer = f"{shape.answer_type} in {shape.unit}" if shape.unit else shape.answer_type
    labels = f"{shape.fewest}" if shape.fewest == shape.most else f"{shape.fewest} to {shape.most}"
    single = f", the first {shape.single} of them of single objects" if shape.single else ""
    return (
        f"- {kind}: {_one_line(inspect.getdoc(module) or '')}\n"
        f"  answer_type {answer}; names {labels} labels{single}; levels 0 to {module.LEVELS - 1}"
    )


def _object_text(obj: SceneObject) -> str:
    centre, edges = (" ".join(f"{x:.2f}" for x in vector) for vector in (obj.box.center, obj.box.size))
    heading = math.degrees(math.atan2(obj.box.axes[0][1], obj.box.axes[0][0]))
    name = ", ".join(word for word in (obj.id, obj.label, obj.colour) if word)
    return f"- {name}; {centre}; {edges}; {heading:.0f}"


def _frame_text(number: int, frame: Frame) -> str:
    camera = "unknown" if frame.pose is None else " ".join(f"{row[3]:.2f}" for row in frame.pose[:3])
    if frame.visible is None:
        seen = "unknown"
    else:
        seen = ", ".join(f"{s.object} {s.ratio:.2f}" for s in frame.visible) or "nothing"
    return f"- {number}: {frame.time_s:.1f} s; {camera}; {seen}"


def _question_text(question: Proposal) -> str:
    unit = f" (in {question.unit})" if question.unit else ""
    options = f" Options: {' | '.join(question.options)}" if question.options else ""
    return f"{question.text}{unit}{options}"


def _recalled_text(recalled: Recalled) -> str:
    q = recalled.question
    return f"- [{recalled.label or 'not probed'}] {q.kind} level {q.level}: {_question_text(q)} Answer: {q.answer}"


def _cell_text(cell: Cell, tally: Tally) -> str:
    return f"- {cell[0]} level {cell[1]}: {tally.easy} easy, {tally.frontier} frontier, {tally.hard} hard"


def _already_text(so_far: Iterable[Question | Rejection]) -> str:
    """Empty at first; later what not to ask again, and what was wrong with what was dropped."""
    lines = [f"- {'dropped, ' + q.reason if isinstance(q, Rejection) else 'taken'}: {_one_line(q.text)}" for q in so_far]
    return "\n".join(["", "You already asked:", "", *lines, ""]) if lines else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
