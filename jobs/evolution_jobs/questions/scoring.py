"""Scores of answers: exact match, and VSI-Bench's mean relative accuracy for numbers.

Called by the evaluation, the audit and the blind filter. It takes answers as text and is lenient about what stands
around them; turning a model's reply (letters, number words) into an answer is `model/prompts.py`'s.
"""

import math
import re
from collections.abc import Sequence

from evolution_api.kinds import AnswerType

MRA_START, MRA_END, MRA_INTERVAL = 0.5, 0.95, 0.05
"""Thresholds of VSI-Bench: `linspace(start, end, int((end - start) / interval + 2))`, 10 values 0.50, 0.55, ..., 0.95."""
_COUNT = int((MRA_END - MRA_START) / MRA_INTERVAL + 2)
_STEP = (MRA_END - MRA_START) / (_COUNT - 1)
# numpy.linspace's own arithmetic (start + i * step, the last exact): rounding decides boundary cases such as 105 against 100.
THRESHOLDS = (*(i * _STEP + MRA_START for i in range(_COUNT - 1)), MRA_END)

_NUMBER = re.compile(r"[-+]?(?:\d+(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d)\.?)(?:[eE][-+]?\d+)?")


def first_number(text: str) -> float | None:
    """The first finite number written in digits, or None."""
    for match in _NUMBER.finditer(text):
        try:
            value = float(match.group().replace(",", ""))
        except ValueError:
            continue
        if math.isfinite(value):
            return value
    return None


def mean_relative_accuracy(truth: float, said: float) -> float:
    """Mean over the thresholds of 1 where |said - truth| / truth <= 1 - threshold; a truth of 0 only matches itself."""
    if truth == 0:
        return float(said == 0)
    error = abs(said - truth) / abs(truth)
    return sum(error <= 1 - threshold for threshold in THRESHOLDS) / len(THRESHOLDS)


def score(answer_type: AnswerType, truth: str, said: str, options: Sequence[str] = ()) -> float:
    """Score of one answer, 0 to 1; what cannot be read scores 0. `options` decide which word of a longer reply is meant."""
    if answer_type == "number":
        true_value, said_value = first_number(truth), first_number(said)
        if true_value is None or said_value is None:
            return 0.0
        return mean_relative_accuracy(true_value, said_value)
    if answer_type == "count":
        true_value, said_value = first_number(truth), first_number(said)
        return float(true_value is not None and true_value == said_value)
    words = _normal(said)
    if answer_type == "yesno":
        return float(words.split(" ")[0] == _normal(truth))
    if words in map(_normal, options):
        return float(words == _normal(truth))
    # Not one of the options as it stands: it counts where it begins with exactly one of them, the longest.
    begun = [o for o in map(_normal, options) if words.startswith(o + " ")]
    return float(max(begun, key=len, default=words) == _normal(truth))


def _normal(text: str) -> str:
    """Lower case, no punctuation but hyphens and commas within, single spaces."""
    return " ".join(re.sub(r"[^\w\s-]", " ", text.lower()).split())
