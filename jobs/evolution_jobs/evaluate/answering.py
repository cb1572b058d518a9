"""The solver answers the held-out questions, with their own scene's frames and with another's; every answer is scored at once.

Called by the program `evaluate`. It knows nothing of rounds, averages or storage.
"""

from collections.abc import Sequence

from evolution_api.kinds import Kind
from evolution_api.question import Question
from evolution_api.results import Answered
from evolution_api.run.spec import EvolutionRunSpec
from evolution_jobs.model.prompts import prompt_text, spoken
from evolution_jobs.model.solver import Solver
from evolution_jobs.program import progress
from evolution_jobs.questions.blind import blind_answer, leave_one_scene_out
from evolution_jobs.questions.scoring import score
from evolution_jobs.scene_batches import Asked, batches_by_scene, everything, frames_shown
from evolution_jobs.scenes.library import SceneLibrary


def answer_all(
    solver: Solver, library: SceneLibrary, spec: EvolutionRunSpec, questions: Sequence[Question], scene_ids: Sequence[str]
) -> list[Answered]:
    """One row a question, in their order; `scene_ids` are the held-out scenes in the order of the plan.

    Raises SceneError where a scene cannot be read: leaving its questions out would make the rounds incomparable.
    """
    choices = spec.model.choices
    said: dict[Asked, str] = {}
    total = 2 * len(questions)
    for batch in batches_by_scene(everything(questions, elsewhere_too=True), questions, scene_ids):
        asked = [questions[a.question] for a in batch.asked]
        replies = solver.answer(
            frames_shown(library, spec.scenes, batch.scene), [prompt_text(question, choices) for question in asked]
        )
        for a, question, reply in zip(batch.asked, asked, replies, strict=True):
            said[a] = spoken(question, reply, choices)
        progress(len(said), total, "answers")
    blind = blind_scores(questions)
    return [answered(question, said[Asked(i, True)], said[Asked(i, False)], blind[i]) for i, question in enumerate(questions)]


def answered(question: Question, said: str, said_elsewhere: str, score_blind: float) -> Answered:
    return Answered(
        question=question.id,
        scene=question.scene,
        kind=question.kind,
        answer_type=question.answer_type,
        truth=question.answer,
        said=said,
        said_elsewhere=said_elsewhere,
        score=scored(question, said),
        score_elsewhere=scored(question, said_elsewhere),
        score_blind=score_blind,
    )


def scored(question: Question, answer: str) -> float:
    return score(question.answer_type, question.answer, answer, question.options)


def blind_scores(questions: Sequence[Question]) -> list[float]:
    """Per question, what its kind's better blind prior scores: the static one, or that of the other scenes' questions.

    Taking the better one per kind favours the baseline. The fitted one alone would not do: of a set with as many yes as no, the
    majority among the other scenes' answers is wrong more often than right.
    """
    static = [scored(q, blind_answer(q)) for q in questions]
    fitted = [scored(q, answer) for q, answer in zip(questions, leave_one_scene_out(questions), strict=True)]
    advantage: dict[Kind, float] = {}
    for question, static_score, fitted_score in zip(questions, static, fitted, strict=True):
        advantage[question.kind] = advantage.get(question.kind, 0.0) + fitted_score - static_score
    return [f if advantage[q.kind] > 0 else s for q, s, f in zip(questions, static, fitted, strict=True)]
