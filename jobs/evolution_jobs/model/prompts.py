"""What the solver is asked, what it should say, and what a reply means.

`letter` is VSI-Bench's own form. `text` is short: the question and, of a choice, its options' words, for a tiny model reads every
token. Pure text; called by everything that asks a solver.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal

from evolution_api.question import Proposal, Question

Choices = Literal["letter", "text"]

BEFORE = "These are frames of a video."
AFTER_CHOICE = "Answer with the option's letter from the given choices directly."
AFTER_OTHER = "Please answer the question using a single word or phrase."

NUMBER_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)

NUMBER = re.compile(r"-?\d+(?:\.\d+)?|\b(?:" + "|".join(NUMBER_WORDS) + r")\b")
LEADING_LETTER = re.compile(r"\(?([a-z])(?:[).:,\s]|$)")


def _letter(index: int) -> str:
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]


def prompt_text(question: Proposal, choices: Choices) -> str:
    if choices == "text":
        named = all(option in question.text for option in question.options)
        return question.text if named else f"{question.text} {'; '.join(question.options)}"
    if question.answer_type != "choice":
        return f"{BEFORE}\n{question.text}\n{AFTER_OTHER}"
    options = "\n".join(f"{_letter(i)}. {option}" for i, option in enumerate(question.options))
    return f"{BEFORE}\n{question.text}\nOptions:\n{options}\n{AFTER_CHOICE}"


def messages(images: Iterable[dict[str, Any]], prompt: str) -> list[dict[str, Any]]:
    """The chat of a user who shows these images (content parts), each under its number, for questions name frames by number."""
    frames = (part for n, image in enumerate(images, 1) for part in ({"type": "text", "text": f"Frame {n}:"}, image))
    return [{"role": "user", "content": [*frames, {"type": "text", "text": prompt}]}]


def answer_text(question: Question, choices: Choices) -> str:
    """The true answer as the solver should say it."""
    if question.answer_type == "choice" and choices == "letter":
        return _letter(question.options.index(question.answer))
    return question.answer


def spoken(question: Question, reply: str, choices: Choices) -> str:
    """The answer that a reply stands for, in the form of `Question.answer`; the bare reply where it stands for none."""
    said = reply.strip().lower()
    if question.answer_type == "choice":
        return _option(question.options, said, choices) or reply.strip()
    if question.answer_type == "yesno":
        word = re.match(r"\W*(yes|no)\b", said)
        return word.group(1) if word else reply.strip()
    number = NUMBER.search(said)
    if number is None:
        return reply.strip()
    digits = number.group()
    if digits in NUMBER_WORDS:
        return str(NUMBER_WORDS.index(digits))
    return str(round(float(digits))) if question.answer_type == "count" else digits


def _option(options: tuple[str, ...], said: str, choices: Choices) -> str | None:
    """An option named in full comes first, then its letter (where letters were offered), then the one within the reply."""
    plain = {re.sub(r"\W", "", option.lower()): option for option in options}
    whole = plain.get(re.sub(r"\W", "", said))
    if whole is not None:
        return whole
    letter = LEADING_LETTER.match(said)
    if choices == "letter" and letter and ord(letter.group(1)) - ord("a") < len(options):
        return options[ord(letter.group(1)) - ord("a")]
    named = [option for option in options if re.search(rf"\b{re.escape(option.lower())}\b", said)]
    return named[0] if len(named) == 1 else None
