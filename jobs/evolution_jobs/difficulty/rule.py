"""The label of a probed question, by the run's rule. Called by the probe, and by training where the signal is its own pass.

A new rule is a file beside this one, one branch here, and one word in the contract.
"""

from evolution_api.kinds import Label
from evolution_api.question import Question
from evolution_api.run.difficulty import Difficulty
from evolution_jobs.difficulty import paper, seeing
from evolution_jobs.questions.blind import chance


def label(spec: Difficulty, question: Question, p: float, p_elsewhere: float | None) -> Label:
    """`p` and `p_elsewhere` are confidences in the true answer with the scene's own and with another scene's frames.

    Raises ValueError where the rule needs `p_elsewhere` and it was not measured.
    """
    if spec.rule == "paper":
        return paper.label(p, spec.easy_above, spec.hard_below)
    if p_elsewhere is None:
        raise ValueError(
            f"question {question.id} was probed without another scene's frames, but difficulty.rule is seeing; "
            "probe it a second time with another scene's frames"
        )
    return seeing.label(p, p_elsewhere, chance(question), spec.easy_above, spec.hard_below)
