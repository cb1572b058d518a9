"""Figures: what a scoring stage measures, by name, each with its interval and the number of questions that it rests on.

A name is the figure's, and where it speaks of a part of the questions only, a dot and that part: `seeing` is over all kinds,
`seeing.object_counting` of one.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from evolution_api.closed import Record, Resource

MOST_IN_STATUS = 24
"""Figures of a round that its status has room for."""

FigureName = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$", max_length=48)]


class Figure(Resource):
    """A mean with its 95 % bootstrap interval."""

    mean: float
    """Over the questions of a kind; over several kinds the unweighted mean of theirs."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of it."""
    questions: int = Field(ge=0)
    """Questions that it rests on."""


class Figures(Record):
    """`figures.json` of a scoring stage: all that it measured."""

    checkpoint: str
    """Key of what was scored; the model's URI for the base model."""
    figures: dict[FigureName, Figure]

    def of(self, part: str = "") -> dict[str, Figure]:
        """The figures of one part of the questions, by their names without it; those of the whole by default."""
        return {name.partition(".")[0]: figure for name, figure in self.figures.items() if name.partition(".")[2] == part}

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that there are figures of, in their order."""
        return tuple(dict.fromkeys(name.partition(".")[2] for name in self.figures if "." in name))


def rounded(figures: Mapping[str, Figure], decimals: int) -> dict[str, Figure]:
    """Fit for people, who read them in columns, and for a termination message, which has little room."""
    return {
        name: Figure(questions=f.questions, **{end: round(getattr(f, end), decimals) for end in ("mean", "low", "high")})
        for name, f in figures.items()
    }
