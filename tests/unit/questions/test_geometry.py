"""Every function that programs can call, by hand."""

import math

import pytest

from evolution_api.scene import Scene
from evolution_jobs.questions.geometry import FUNCTIONS, AmbiguousError, Geometry, MetadataError, MissingError, geometry
from evolution_jobs.questions.sandbox import Sandbox


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("labels()[0] + ' ' + str(len(labels()))", "bed 6"),
        ("len(objects('chair'))", 2),
        ("len(objects('piano'))", 0),
        ("one('lamp')", "lamp"),
        ("count('chair')", 2),
        ("count('piano')", 0),
        ("count('tv')", 2),
        ("label('chair-2')", "chair"),
        ("position('sofa')[0]", 4.0),
        ("str(size('bed'))", "(2.0, 1.6, 0.5)"),
        ("longest_side('lamp')", 1.2),
        ("distance('table', 'sofa')", 2.5),
        ("distance('sofa', 'table')", 2.5),
        ("round(distance('table', 'lamp'), 9)", 2.3),
        ("round(distance_vsi('table', 'sofa'), 9)", 2.5),
        ("room_size()", 30.25),
        ("bearing('table', 'lamp', 'sofa')", 270.0),
        ("bearing('table', 'sofa', 'lamp')", 90.0),
        ("round(bearing('table', 'lamp', 'chair-1'), 9)", 315.0),
        ("bearing('table', 'lamp', 'lamp')", 0.0),
        ("frames()", 4),
        ("visible(1, 'table')", 0.8),
        ("visible(1, 'chair')", 0.3),
        ("visible(1, 'bed')", 0.0),
        ("first_seen('bed')", 2),
        ("first_seen('lamp')", 1),
        ("time(2)", 4.0),
        ("camera(4)[0]", 1.0),
        ("round(camera_distance(1, 'table'), 9)", round(math.hypot(2.5, 0.5), 9)),
        ("round(camera_turn(1, 2), 9)", 60.0),
        ("round(camera_turn(2, 1), 9)", -60.0),
        ("round(camera_move(1, 3)[0], 9)", 1.0),
        ("round(camera_move(1, 4)[1], 9)", -1.0),
        ("camera_move(1, 4)[2]", 0.0),
    ],
)
def test_a_program_gets_what_a_person_computes(program: str, expected: object, room: Scene, sandbox: Sandbox) -> None:
    outcome = sandbox.run(program, room)
    assert (outcome.value, outcome.reason) == (expected, None), outcome.detail


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        pytest.param(lambda g: g.one("piano"), MissingError, "no 'piano'", id="one of none"),
        pytest.param(lambda g: g.one("chair"), AmbiguousError, "2 objects", id="one of two"),
        pytest.param(lambda g: g.count("window"), MissingError, "does not annotate", id="count of what is not annotated"),
        pytest.param(lambda g: g.longest_side("x"), MissingError, "no object with the id", id="invented id"),
        pytest.param(lambda g: g.visible(5, "table"), MissingError, "frames 1 to 4", id="frame beyond the last"),
        pytest.param(lambda g: g.camera(0), MissingError, "frames 1 to 4", id="frame zero"),
        pytest.param(lambda g: g.camera("1"), TypeError, "integer", id="frame as text"),
        pytest.param(lambda g: g.camera(True), TypeError, "integer", id="frame as bool"),
        pytest.param(lambda g: g.one(["x"]), TypeError, "must be a string", id="label as list"),
        pytest.param(lambda g: g.one("x" * 1000), MissingError, "1000 characters", id="endless label"),
        pytest.param(lambda g: g.bearing("table", "table", "lamp"), MetadataError, "same place", id="facing where one stands"),
    ],
)
def test_what_cannot_be_answered_is_an_error_that_says_why(call: object, error: type[Exception], words: str, room: Scene) -> None:
    with pytest.raises(error, match=words):
        call(Geometry(room))  # type: ignore[operator]


@pytest.mark.parametrize("program", ["room_size()", "camera(1)", "visible(1, 'table')"])
def test_a_scene_without_frames_and_size_says_that_it_lacks_them(program: str, bare: Scene, sandbox: Sandbox) -> None:
    assert sandbox.run(program, bare).reason in ("missing_metadata", "missing_object")


def test_a_scene_without_counts_counts_its_boxes(bare: Scene) -> None:
    assert Geometry(bare).count("tv") == 1
    assert Geometry(bare).count("window") == 0


def test_a_camera_that_looks_straight_down_has_no_heading(room: Scene) -> None:
    down = ((1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, -1.0, 2.0), (0.0, 0.0, 0.0, 1.0))
    frames = (room.frames[0].model_copy(update={"pose": down}), *room.frames[1:])
    with pytest.raises(MetadataError, match="no heading"):
        Geometry(room.model_copy(update={"frames": frames})).camera_turn(1, 2)


def test_the_library_of_a_scene_is_kept() -> None:
    scene = Scene(id="a", source="test", objects=(), frames=())
    assert geometry(scene) is geometry(scene)
    assert geometry(scene) is not geometry(scene.model_copy())


def test_every_function_is_documented_and_typed() -> None:
    for name in FUNCTIONS:
        function = getattr(Geometry, name)
        assert function.__doc__, name
        assert "return" in function.__annotations__, name
