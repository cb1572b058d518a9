"""The fixed held-out questions of a run: asked by the grammar's own kinds, through the same check as training
questions.

Called once, by the prepare stage. Deterministic in scenes, spec and seed; it knows nothing of rounds or checkpoints.
"""

import random
from collections import Counter
from collections.abc import Sequence

from evolution_api.kinds import Kind
from evolution_api.question import Question
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.scene import Scene
from evolution_jobs.questions.check import check
from evolution_jobs.questions.kinds import kind as kind_module
from evolution_jobs.questions.sandbox import Sandbox

TRIES_PER_QUESTION = 12
"""Proposals tried, on average, before a kind is given up as filled."""
MAX_SHARE = 0.6
"""Largest share of the held-out questions of a kind that one answer may have (counts, yes/no, choices with fixed words)."""


def heldout_questions(scenes: Sequence[Scene], spec: EvolutionRunSpec, seed: int) -> list[Question]:
    """Up to `spec.evaluation.heldout.questions_per_kind` questions of every kind, spread over scenes and levels;
    round 0.

    `scenes` are already reduced to the frames that the solver sees. A kind that the scenes cannot fill comes out
    shorter.
    """
    wanted = spec.evaluation.heldout.questions_per_kind
    sandbox = Sandbox(spec.generation.sandbox)
    return [
        q
        for kind in spec.generation.kinds
        for q in _of_kind(kind, scenes, wanted, spec, sandbox, random.Random(f"heldout/{seed}/{kind}"))  # noqa: S311
    ]


def _of_kind(
    kind: Kind, scenes: Sequence[Scene], wanted: int, spec: EvolutionRunSpec, sandbox: Sandbox, rng: random.Random
) -> list[Question]:
    """Goes round the scenes; each visit tries the levels in turn, fewest questions first."""
    module = kind_module(kind)
    taken: dict[str, Question] = {}
    per_level: Counter[int] = Counter(dict.fromkeys(range(module.LEVELS), 0))
    per_answer: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    order = rng.sample(list(scenes), len(scenes))
    while order and len(taken) < wanted:
        for scene in list(order):
            if len(taken) == wanted:
                break
            found = None
            for level in sorted(per_level, key=lambda x: (per_level[x], x)):
                proposal = module.propose(scene, level, rng)
                if proposal is None:
                    continue
                checked = check(
                    proposal,
                    scene,
                    sandbox=sandbox,
                    filters=spec.generation.filters,
                    round_=0,
                    proposer="grammar",
                    accepted_ids=taken.keys(),
                )
                if isinstance(checked, Question) and _keeps_balance(checked, per_answer, wanted):
                    found = checked
                    break
            if found is None:
                failed[scene.id] += 1
                if failed[scene.id] == TRIES_PER_QUESTION:
                    order.remove(scene)
                continue
            taken[found.id] = found
            per_level[found.level] += 1
            per_answer[_class(found)] += 1
    return list(taken.values())


def _keeps_balance(question: Question, per_answer: Counter[str], wanted: int) -> bool:
    """Whether the answer's class still has room: yes/no half each, of n options 1/n and a little, counts at most MAX_SHARE."""
    if question.answer_type == "number":
        return True
    share = MAX_SHARE
    if question.answer_type == "yesno":
        share = 0.5
    if question.answer_type == "choice":
        share = min(MAX_SHARE, 1.2 / len(question.options))
    return per_answer[_class(question)] < max(1, round(share * wanted))


def _class(question: Question) -> str:
    """What is balanced: the answer's own words, or, where options differ from question to question, the right one's place."""
    if question.answer_type == "choice" and question.kind in ("object_rel_distance", "obj_appearance_order", "object_visibility"):
        return f"{len(question.options)}:{question.options.index(question.answer)}"
    return question.answer
