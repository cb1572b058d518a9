"""The solver answers the held-out questions, with their own scene's frames and with another's; every answer is scored at once.

Called by the program `evaluate`. It knows nothing of rounds, averages or storage.
"""

from collections.abc import Sequence

from evolution_api.question import Question
from evolution_api.results import Answered
from evolution_api.run import EvolutionRunSpec
from evolution_jobs.model.prompts import prompt_text, spoken
from evolution_jobs.model.solver import Solver
from evolution_jobs.program import progress
from evolution_jobs.questions.blind import blind_answer
from evolution_jobs.questions.scoring import score
from evolution_jobs.scenes.library import SceneLibrary
from evolution_jobs.showings import Asked, everything, frames_shown, showings


def answer_all(
    solver: Solver, library: SceneLibrary, spec: EvolutionRunSpec, questions: Sequence[Question], scene_ids: Sequence[str]
) -> list[Answered]:
    """One row a question, in their order; `scene_ids` are the held-out scenes in the order of the plan.

    Raises SceneError where a scene cannot be read: leaving its questions out would make the rounds incomparable.
    """
    choices = spec.model.choices
    said: dict[Asked, str] = {}
    total = 2 * len(questions)
    for showing in showings(everything(questions, elsewhere_too=True), questions, scene_ids):
        asked = [questions[a.question] for a in showing.asked]
        replies = solver.answer(
            frames_shown(library, spec.scenes, showing.scene), [prompt_text(question, choices) for question in asked]
        )
        for a, question, reply in zip(showing.asked, asked, replies, strict=True):
            said[a] = spoken(question, reply, choices)
        progress(len(said), total, "answers")
    return [answered(question, said[Asked(i, True)], said[Asked(i, False)]) for i, question in enumerate(questions)]


def answered(question: Question, said: str, said_elsewhere: str) -> Answered:
    def scored(answer: str) -> float:
        return score(question.answer_type, question.answer, answer, question.options)

    return Answered(
        question=question.id,
        scene=question.scene,
        kind=question.kind,
        answer_type=question.answer_type,
        truth=question.answer,
        said=said,
        said_elsewhere=said_elsewhere,
        score=scored(said),
        score_elsewhere=scored(said_elsewhere),
        score_blind=scored(blind_answer(question)),
    )
