"""Which stages a round has, in which order, and which round is the last."""

from typing import NamedTuple

from evolution_api.kinds import STAGES, Stage
from evolution_api.run.spec import EvolutionRunSpec

ORDER = {stage: place for place, stage in enumerate(STAGES)}


class Place(NamedTuple):
    """A stage of a round; places are passed in one direction only."""

    round: int
    stage: Stage

    @property
    def order(self) -> tuple[int, int]:
        return self.round, ORDER[self.stage]


START = Place(0, "prepare")


def stages(spec: EvolutionRunSpec, round_: int) -> tuple[Stage, ...]:
    """Stages of a round as the spec stands now. The base model and the last round are always evaluated."""
    if round_ == 0:
        return "prepare", "evaluate"
    probe: tuple[Stage, ...] = ("probe",) if spec.difficulty.signal == "probe" else ()
    due = round_ % spec.evaluation.every == 0 or round_ >= spec.rounds
    return ("generate", *probe, "train", *(("evaluate",) if due else ()))


def after(spec: EvolutionRunSpec, place: Place) -> Place | None:
    """The next place in the same round; None where the round is over."""
    later = [stage for stage in stages(spec, place.round) if ORDER[stage] > ORDER[place.stage]]
    return Place(place.round, later[0]) if later else None


def first(spec: EvolutionRunSpec, round_: int) -> Place:
    return Place(round_, stages(spec, round_)[0])
