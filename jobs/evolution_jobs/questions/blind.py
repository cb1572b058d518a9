"""Answers without looking: what a question's words alone give away, for the blind filter, the baselines and the
seeing rule.

A prior is either the static table below or one fitted to other questions (`BlindPrior.fit`). `blind_answer(question)`
uses the static one, which is the same in every round; `leave_one_scene_out` gives the strongest fair baseline of a
fixed question set, each question answered by what the questions of the other scenes teach.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from evolution_api.kinds import Kind
from evolution_api.question import Proposal, Question

TYPICAL_CM: Mapping[str, int] = {
    "backpack": 50, "basket": 35, "bathtub": 165, "bed": 215, "blanket": 200, "bookshelf": 195, "ceiling light": 45,
    "chair": 90, "clock": 30, "closet": 185, "computer mouse": 10, "counter": 280, "cup": 15, "cutting board": 50,
    "dishwasher": 90, "door": 200, "exhaust fan": 35, "fan": 105, "fireplace": 160, "heater": 140, "kettle": 25,
    "keyboard": 45, "lamp": 60, "laptop": 40, "microwave": 55, "mirror": 100, "monitor": 55, "nightstand": 70,
    "pillow": 70, "plant": 35, "power strip": 25, "printer": 50, "radiator": 110, "refrigerator": 165, "sofa": 190,
    "stool": 50, "stove": 65, "suitcase": 70, "table": 125, "telephone": 30, "toilet": 75, "towel": 75,
    "trash bin": 45, "trash can": 35, "tv": 95, "washer": 85, "whiteboard": 200, "window": 145,
}  # fmt: skip
"""Median longest side per label in VSI-Bench's rooms, rounded to 5 cm (per-label medians score 0.65 MRA there)."""
STATIC: Mapping[Kind, str] = {
    "object_counting": "2",  # exact for 57 % of VSI-Bench's counting questions
    "object_size_estimation": "90",  # median of the table above, for labels that it does not have
    "room_size_estimation": "17.5",  # VSI-Bench's median
    "object_abs_distance": "1.8",  # VSI-Bench's median
    "camera_object_distance": "1.8",
    "object_existence": "yes",
}
COUNT_CHANCE: Mapping[str, float] = {"1": 0.25, "2": 0.5, "3": 0.25, "4": 0.12, "5": 0.06, "6": 0.03}
"""Share of a count that a blind guesser would be confident in: VSI-Bench's shares of 2 and 3, halved from there on."""


class BlindPrior:
    """Answers from tables: by kind and label, else by kind, else the static ones."""

    def __init__(
        self,
        by_label: Mapping[tuple[str, str], str],
        by_kind: Mapping[str, str],
        wins: Mapping[tuple[str, str], tuple[int, int]],
    ) -> None:
        self.by_label, self.by_kind, self.wins = by_label, by_kind, wins

    @staticmethod
    def fit(questions: Iterable[Question]) -> "BlindPrior":
        """Medians of numbers, commonest counts and yes/no per label and kind; for choices, how often an option was right."""
        answers: dict[tuple[str, str], list[Question]] = {}
        wins: dict[tuple[str, str], tuple[int, int]] = {}
        for q in questions:
            for label in {"", q.labels[0] if q.labels else ""}:
                answers.setdefault((q.kind, label), []).append(q)
            for option in q.options:
                won, offered = wins.get((q.kind, option), (0, 0))
                wins[q.kind, option] = (won + (option == q.answer), offered + 1)
        learned = {key: _middle(group) for key, group in answers.items() if not group[0].options}
        return BlindPrior(
            {key: answer for key, answer in learned.items() if key[1]},
            {kind: answer for (kind, label), answer in learned.items() if not label},
            wins,
        )

    def answer(self, question: Proposal) -> str:
        """The best answer without looking. A choice without any prior takes the first option that is not the listed order."""
        if question.options:
            return max(_plausible(question), key=lambda option: self._win_rate(question.kind, option))
        label = question.labels[0] if question.labels else ""
        known = self.by_label.get((question.kind, label)) or self.by_kind.get(question.kind)
        if known is not None:
            return known
        if question.answer_type == "yesno":
            return STATIC.get(question.kind, "yes")
        return STATIC.get(question.kind, "1")

    def _win_rate(self, kind: str, option: str) -> float:
        """Share of right where offered, drawn to one half so that a single case decides little."""
        won, offered = self.wins.get((kind, option), (0, 0))
        return (won + 1) / (offered + 2)


STATIC_PRIOR = BlindPrior({("object_size_estimation", label): str(cm) for label, cm in TYPICAL_CM.items()}, {}, {})


def blind_answer(question: Proposal, prior: BlindPrior = STATIC_PRIOR) -> str:
    """Best answer without looking, as text in the question's own form."""
    return prior.answer(question)


def leave_one_scene_out(questions: Sequence[Question]) -> list[str]:
    """For each question, the answer of a prior fitted to the questions of all other scenes."""
    scenes = {q.scene for q in questions}
    priors = {scene: BlindPrior.fit(q for q in questions if q.scene != scene) for scene in scenes}
    return [priors[q.scene].answer(q) for q in questions]


def chance(question: Question) -> float:
    """Probability of the true answer to one who knows only the question's form: a guesser's expected confidence."""
    if question.answer_type == "choice":
        return 1 / len(question.options)
    if question.answer_type == "yesno":
        return 0.5
    if question.answer_type == "count":
        return COUNT_CHANCE.get(question.answer, 0.01)
    return 0.0


def _plausible(question: Proposal) -> list[str]:
    """The options without the order in which the sentence lists the labels (never right in VSI-Bench)."""
    if question.kind != "obj_appearance_order":
        return list(question.options)
    return [o for o in question.options if o != ", ".join(question.labels)] or list(question.options)


def _middle(questions: Sequence[Question]) -> str:
    answers = [q.answer for q in questions]
    if questions[0].answer_type == "number":
        return f"{statistics.median(map(float, answers)):.4g}"
    return min(Counter(answers).items(), key=lambda item: (-item[1], item[0]))[0]
