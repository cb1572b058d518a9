"""Which stages a round has, in which order, and which round is the last."""

from typing import NamedTuple

from evolution_api.kinds import StageName
from evolution_api.run.spec import EvolutionRunSpec
from evolution_api.stages import BY_NAME, STAGES


class Place(NamedTuple):
    """A stage of a round; places are passed in one direction only."""

    round: int
    stage: StageName

    @property
    def order(self) -> tuple[int, int]:
        return self.round, BY_NAME[self.stage].order


START = Place(0, "prepare")


def stages(spec: EvolutionRunSpec, round_: int) -> tuple[StageName, ...]:
    """Stages of a round as the spec stands now."""
    return tuple(stage.name for stage in STAGES if stage.due(spec, round_))


def after(spec: EvolutionRunSpec, place: Place) -> Place | None:
    """The next place in the same round; None where the round is over."""
    later = [stage for stage in stages(spec, place.round) if Place(place.round, stage).order > place.order]
    return Place(place.round, later[0]) if later else None


def first(spec: EvolutionRunSpec, round_: int) -> Place:
    return Place(round_, stages(spec, round_)[0])
