"""A room small enough to compute by hand."""

import math
from collections.abc import Callable

import pytest

from evolution_api.question import Proposal
from evolution_api.run.generation import Filters
from evolution_api.scene import Box, Frame, Matrix4, Scene, SceneObject, Sighting
from evolution_jobs.questions.check import check
from evolution_jobs.questions.sandbox import Sandbox


def thing(
    obj: str, label: str, center: tuple[float, float, float], size: tuple[float, float, float], turn: float = 0.0
) -> SceneObject:
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return SceneObject(id=obj, label=label, box=Box(center=center, size=size, axes=((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0))))


def pose(x: float, y: float, heading: float) -> Matrix4:
    """A level camera 1.5 m up that looks along `heading`, degrees counter-clockwise from x."""
    c, s = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    return ((s, 0.0, c, x), (-c, 0.0, s, y), (0.0, -1.0, 0.0, 1.5), (0.0, 0.0, 0.0, 1.0))


def frame(number: int, pose_: Matrix4, **ratios: float) -> Frame:
    seen = tuple(Sighting(object=o, ratio=r, box_px=(0, 0, 8, 8), pixels=64) for o, r in ratios.items())
    return Frame(file=f"{number}.png", time_s=2.0 * number, width=64, height=64, pose=pose_, visible=seen)


@pytest.fixture
def room() -> Scene:
    """Table in the origin, sofa 4 m to the east, lamp 3 m to the north, two chairs, a bed turned by 45 degrees; four frames."""
    return Scene(
        id="room",
        source="test",
        room_size_m2=30.25,
        counts={"table": 1, "sofa": 1, "lamp": 1, "chair": 2, "bed": 1, "piano": 0, "tv": 2},
        objects=(
            thing("table", "table", (0, 0, 0.5), (1, 1, 1)),
            thing("sofa", "sofa", (4, 0, 0.5), (2, 1, 1)),
            thing("lamp", "lamp", (0, 3, 0.5), (0.4, 0.4, 1.2)),
            thing("chair-1", "chair", (2, 2, 0.5), (0.5, 0.5, 1)),
            thing("chair-2", "chair", (-2, 2, 0.5), (0.5, 0.5, 1)),
            thing("bed", "bed", (-3, -1, 0.25), (2, 1.6, 0.5), turn=45),
            thing("tv", "tv", (4, 3, 1), (1, 0.1, 0.6)),
        ),
        frames=(
            frame(1, pose(0, -3, 90), **{"table": 0.8, "lamp": 0.5, "chair-1": 0.3}),
            frame(2, pose(0, -3, 150), **{"bed": 0.9, "chair-2": 0.4, "lamp": 0.01}),
            frame(3, pose(0, -2, 85), **{"table": 0.6, "lamp": 0.5}),
            frame(4, pose(1, -2, 10), **{"sofa": 0.7, "tv": 0.3}),
        ),
    )


@pytest.fixture
def bare(room: Scene) -> Scene:
    """The same room without frames, counts and size."""
    return room.model_copy(update={"frames": (), "counts": None, "room_size_m2": None})


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
def checked(room: Scene, sandbox: Sandbox) -> Callable[..., object]:
    """`check` with everything but the proposal filled in."""

    def run(proposal: Proposal, scene: Scene = room, accepted: frozenset[str] = frozenset(), **filters: object) -> object:
        return check(
            proposal,
            scene,
            sandbox=sandbox,
            filters=Filters(**{"drop_blind": False, **filters}),
            round_=1,
            proposer="test",
            accepted_ids=accepted,
        )

    return run
