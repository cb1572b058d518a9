"""A question, and what became of one that was not accepted."""

from pydantic import Field, model_validator

from evolution_api.closed import Record
from evolution_api.kinds import AnswerType, Kind, Reason


class Proposal(Record):
    """What a proposer hands over: a question and the program that computes its answer. The answer itself is not its to say."""

    kind: Kind
    text: str = Field(min_length=1, max_length=2000)
    """The question without its options."""
    answer_type: AnswerType
    options: tuple[str, ...] = ()
    """The options' words, for `choice`; empty otherwise."""
    unit: str | None = None
    """Unit of a `number`: m, cm or m2."""
    program: str = Field(min_length=1, max_length=20_000)
    """Source for the sandbox; the value of its last expression is the answer."""
    labels: tuple[str, ...] = ()
    """Object labels that the question names, in the order of the sentence."""
    level: int = Field(default=0, ge=0, le=4)
    """How hard the question is made within its kind, 0 the easiest; the kind's module says what it stands for."""

    @model_validator(mode="after")
    def options_fit_the_answer_type(self) -> "Proposal":
        if self.answer_type == "choice" and not 2 <= len(set(self.options)) == len(self.options) <= 26:
            raise ValueError(f"options {self.options}: a choice offers 2 to 26 different options")
        if self.answer_type != "choice" and self.options:
            raise ValueError(f"options {self.options} given, but answer_type is {self.answer_type!r}; leave them out")
        return self


class Question(Proposal):
    """An accepted question: the proposal, its answer, and where both came from."""

    id: str
    """First 16 hex digits of the sha256 of scene, kind, text, options and program."""
    scene: str
    answer: str = Field(min_length=1)
    """What the program returned, as text: the option's words, an integer, a decimal, yes or no."""
    tolerance: float | None = None
    """Half width within which the metadata's precision leaves a `number`, in its unit."""
    round: int = Field(ge=0)
    """The round that asked it; 0 for held-out questions."""
    proposer: str
    """grammar, or the model's name."""
    prompt_sha256: str | None = None
    """Hash of the prompt that a model was given; the prompt itself lies beside the shard."""


class Rejection(Record):
    """A proposal that was dropped, with the reason; `kind` is free here, for a proposer may invent one."""

    scene: str
    kind: str
    text: str
    program: str
    reason: Reason
    detail: str
    """One sentence with the values that led to it."""
    round: int = Field(ge=0)
    proposer: str
