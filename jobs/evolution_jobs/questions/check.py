"""From a proposal to an accepted question or a rejection with its reason: the only way into a training or held-out
set.

Whoever proposes (the grammar, a model), the same order of tests holds: the form of the kind, the objects it names,
what the scene carries, the program in the sandbox, the type of its answer, then visibility, margins, blind priors and
duplicates. The answer is what the program returned; nothing here computes one.

The blind filter. A number that a prior meets within 5 %, and a count that it names exactly, can be answered without
looking. Dropping all of them would only move the prior (without any 2, every count is a 3) and empty a level, so one
in BLIND_KEPT of them stays, chosen by the question's id. Choices and yes/no come balanced and are not dropped.
"""

import hashlib
import json
from collections.abc import Set as AbstractSet

from evolution_api.kinds import Reason
from evolution_api.question import Proposal, Question, Rejection
from evolution_api.run.generation import Filters
from evolution_api.scene import Scene
from evolution_jobs.questions.blind import blind_answer
from evolution_jobs.questions.geometry import Geometry, GeometryError, geometry
from evolution_jobs.questions.kinds import kind as kind_module
from evolution_jobs.questions.kinds.object_existence import absent_labels
from evolution_jobs.questions.kinds.shape import Doubt, Shape, lacks, noise, unseen
from evolution_jobs.questions.sandbox import GEOMETRY_REASONS, Sandbox
from evolution_jobs.questions.scoring import score
from evolution_jobs.questions.sentence import labels_in

BLIND_KEPT = 3
"""One in so many of the blindly answerable questions stays."""
TOLERANCE = {"m": 0.15, "cm": 5.0, "m2": 1.0}
"""Half width per unit: the official and the exact distance differ by up to 0.15 m, the meshes have 5 cm voxels, and
the area of a room follows from a random sample of its points."""
DECIMALS = {"m": 1, "cm": 0, "m2": 1}
LARGEST_COUNT = 10_000


class _Dropped(Exception):  # noqa: N818 - control flow within this module
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


def check(
    proposal: Proposal,
    scene: Scene,
    *,
    sandbox: Sandbox,
    filters: Filters,
    round_: int,
    proposer: str,
    accepted_ids: AbstractSet[str],
) -> Question | Rejection:
    """The accepted question, or why it was dropped. `scene` holds the frames that the solver will see; it is not changed."""
    try:
        return _accept(proposal, scene, sandbox, filters, round_, proposer, accepted_ids)
    except _Dropped as dropped:
        reason, detail = dropped.reason, str(dropped)
    except GeometryError as error:  # a margin that cannot be measured in this scene
        reason, detail = GEOMETRY_REASONS[type(error)], str(error)
    return Rejection(
        scene=scene.id,
        kind=proposal.kind,
        text=proposal.text,
        program=proposal.program,
        reason=reason,
        detail=detail,
        round=round_,
        proposer=proposer,
    )


def _accept(
    proposal: Proposal,
    scene: Scene,
    sandbox: Sandbox,
    filters: Filters,
    round_: int,
    proposer: str,
    accepted_ids: AbstractSet[str],
) -> Question:
    module, library = kind_module(proposal.kind), geometry(scene)
    shape = module.SHAPE
    proposal = _well_formed(proposal, shape, library)
    for need in shape.needs:
        missing = lacks(library, need)
        if missing is not None:
            raise _Dropped("missing_metadata", missing)
    for i, label in enumerate(proposal.labels):
        _named_soundly(label, shape, library, single=i < shape.single)
    outcome = sandbox.run(proposal.program, scene)
    if outcome.reason is not None:
        raise _Dropped(outcome.reason, outcome.detail)
    answer = _answer(proposal, outcome.value)
    for label in proposal.labels:
        if library.objects(label) and unseen(library, label, filters.min_visible_ratio, every=shape.every):
            which = "every" if shape.every else "any"
            raise _Dropped("never_visible", f"no frame shows {filters.min_visible_ratio} or more of {which} {label!r}")
    doubt: Doubt | None = module.doubt(proposal, answer, library)
    if doubt is not None:
        raise _Dropped(*doubt)
    question = Question(
        **dict(proposal),
        id=question_id(proposal, scene.id),
        scene=scene.id,
        answer=answer,
        tolerance=TOLERANCE[proposal.unit] if proposal.unit is not None else None,
        round=round_,
        proposer=proposer,
    )
    if filters.drop_blind and int(question.id, 16) % BLIND_KEPT:
        guess = blind_answer(question)
        if question.answer_type in ("count", "number") and score(question.answer_type, answer, guess) == 1:
            raise _Dropped("blind", f"the prior alone says {guess}, and the answer is {answer}")
    if question.id in accepted_ids:
        raise _Dropped("duplicate", f"question {question.id} was accepted before")
    return question


def question_id(proposal: Proposal, scene: str) -> str:
    """First 16 hex digits of the sha256 of scene, kind, text, options and program, as a JSON array."""
    parts = json.dumps([scene, proposal.kind, proposal.text, proposal.options, proposal.program])
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _well_formed(proposal: Proposal, shape: Shape, library: Geometry) -> Proposal:
    """The proposal with the labels that it names; dropped if it is not a question of its kind."""
    if proposal.answer_type != shape.answer_type or proposal.unit != shape.unit:
        asked = f"{proposal.answer_type} in {proposal.unit}" if proposal.unit else proposal.answer_type
        wanted = f"{shape.answer_type} in {shape.unit}" if shape.unit else shape.answer_type
        raise _Dropped("malformed_proposal", f"{proposal.kind} is answered by {wanted}, not by {asked}")
    sentence = "\n".join((proposal.text, *proposal.options))
    if not proposal.labels and shape.most:
        counts = library.scene.counts
        vocabulary = {*library.labels(), *(counts or ()), *(absent_labels(library.scene) if shape.absent else ())}
        found = labels_in(sentence, vocabulary)
        if not found:
            raise _Dropped("missing_object", "the question names no object of the scene")
        proposal = proposal.model_copy(update={"labels": tuple(found)})
    elif not shape.most:
        proposal = proposal.model_copy(update={"labels": ()})
    else:
        for label in proposal.labels:
            if label.lower() not in sentence.lower():
                raise _Dropped("malformed_proposal", f"the label {label[:80]!r} does not stand in the question")
    if not shape.fewest <= len(set(proposal.labels)) == len(proposal.labels) <= shape.most:
        number = f"{shape.fewest}" if shape.fewest == shape.most else f"{shape.fewest} to {shape.most}"
        raise _Dropped("malformed_proposal", f"{proposal.kind} names {number} different labels, not {_list(proposal.labels)}")
    return proposal


def _named_soundly(label: str, shape: Shape, library: Geometry, *, single: bool) -> None:
    there = library.objects(label)
    if shape.absent:
        counts = library.scene.counts
        if counts is not None and label not in counts:
            raise _Dropped(
                "missing_metadata", f"the source of the scene does not annotate {label[:80]!r}: it may be there all the same"
            )
    elif not there and not (library.scene.counts or {}).get(label):
        raise _Dropped("missing_object", f"the scene has no {label[:80]!r}")
    noisy = noise(library, label)
    if noisy is not None:
        raise _Dropped("metadata_noise", noisy)
    if single and len(there) > 1:
        raise _Dropped("ambiguous_object", f"the scene has {len(there)} objects labelled {label!r}, not one")


def _answer(proposal: Proposal, value: object) -> str:
    """The program's value as the answer's text: the option's words, an integer, a decimal, yes or no."""
    kind = type(value).__name__
    match proposal.answer_type:
        case "yesno":
            if isinstance(value, bool):
                return "yes" if value else "no"
            if value in ("yes", "no"):
                return str(value)
            raise _Dropped("wrong_type", f"a yes/no question needs True or False, not {_short(value)} ({kind})")
        case "choice":
            if isinstance(value, str) and value in proposal.options:
                return value
            raise _Dropped(
                "wrong_type", f"the program returned {_short(value)} ({kind}), none of the options {_list(proposal.options)}"
            )
        case "count":
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT:
                return str(value)
            raise _Dropped("wrong_type", f"a count is an integer from 0 to {LARGEST_COUNT}, not {_short(value)} ({kind})")
        case "number":
            if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
                decimals = DECIMALS[proposal.unit or "m"]
                return f"{round(value, decimals):.{decimals}f}"
            raise _Dropped("wrong_type", f"a length or area is a number from 0 on, not {_short(value)} ({kind})")


def _short(value: object) -> str:
    return repr(value)[:80]


def _list(labels: tuple[str, ...]) -> str:
    return repr(labels)[:200]
