"""Prepared scenes read back: what is refused, with which words, and which frames are kept."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from evolution_api.scene import Box, Frame, Scene, SceneObject, Sighting
from evolution_jobs.scenes.library import SceneError, SceneLibrary, decode_frame, elsewhere, reduce


def test_scenes_and_images_are_read_back_as_they_were_written(library: SceneLibrary) -> None:
    assert library.ids() == ["room-0", "room-1", "room-2"]
    scene = library.scene("room-1")
    assert (scene.id, len(scene.frames)) == ("room-1", 4)
    image = library.image("room-1", scene.frames[3])
    assert (image.mode, image.size) == ("RGB", (48, 32))
    library.check("room-1", scene)


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        raw = json.loads((folder / "scene.json").read_text())
        change(raw)
        (folder / "scene.json").write_text(json.dumps(raw))

    return apply


def nan_pose(raw: dict[str, Any]) -> None:
    raw["frames"][1]["pose"][0][3] = float("nan")


def infinite_pose(raw: dict[str, Any]) -> None:
    raw["frames"][1]["pose"] = [[float("-inf")] * 4 for _ in range(4)]


def left_handed_pose(raw: dict[str, Any]) -> None:
    for row in raw["frames"][0]["pose"][:3]:
        row[0] = -row[0]


def negative_box(raw: dict[str, Any]) -> None:
    raw["objects"][0]["box"]["size"][1] = -0.5


def truncated(name: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) * 2 // 3])

    return apply


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda f: (f / "scene.json").unlink(), ["scene.json", "does not exist"], id="no-scene-json"),
        pytest.param(lambda f: [p.unlink() for p in f.rglob("*") if p.is_file()], ["does not exist"], id="empty-folder"),
        pytest.param(lambda f: (f / "scene.json").write_text('{"id": "room-0", '), ["scene.json", "JSON"], id="broken-json"),
        pytest.param(lambda f: (f / "scene.json").write_bytes(b""), ["scene.json", "JSON"], id="empty-json"),
        pytest.param(lambda f: (f / "scene.json").write_bytes(b"\xff\xfe\x00"), ["scene.json"], id="no-text"),
        pytest.param(edited(nan_pose), ["frames.1.pose", "finite"], id="nan-pose"),
        pytest.param(edited(infinite_pose), ["frames.1.pose", "finite"], id="lost-tracking"),
        pytest.param(edited(left_handed_pose), ["frames.0.pose", "left-handed"], id="left-handed-pose"),
        pytest.param(edited(negative_box), ["objects.0.box.size", "not above 0"], id="negative-box"),
        pytest.param(edited(lambda r: r.update(id="room-9")), ["room-9", "room-0"], id="another-scenes-id"),
        pytest.param(edited(lambda r: r.update(colour="red")), ["colour"], id="unknown-field"),
        pytest.param(edited(lambda r: r["frames"].reverse()), ["time_s"], id="frames-out-of-order"),
        pytest.param(
            edited(lambda r: r["frames"][0].update(file="../room-1/frames/000.png")), ["..", "own folder"], id="file-elsewhere"
        ),
        pytest.param(lambda f: (f / "frames/002.png").unlink(), ["frames/002.png", "missing"], id="missing-frame"),
        pytest.param(truncated("frames/001.png"), ["frames/001.png", "truncated"], id="truncated-image"),
        pytest.param(lambda f: (f / "frames/001.png").write_text("no image"), ["frames/001.png", "decoded"], id="no-image"),
        pytest.param(
            lambda f: PIL.Image.new("RGB", (8, 8)).save(f / "frames/001.png"), ["8x8", "48x32"], id="image-of-another-size"
        ),
        pytest.param(
            lambda f: PIL.Image.new("RGB", (48, 32)).save(f / "frames/001.png", "TIFF"),
            ["frames/001.png", "PNG, JPEG, WEBP"],
            id="image-of-a-rare-format",
        ),
    ],
)
def test_a_scene_that_cannot_be_used_says_why(
    root: Path, library: SceneLibrary, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(root / "room-0")
    with pytest.raises(SceneError) as caught:
        library.check("room-0", library.scene("room-0"))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    library.check("room-1", library.scene("room-1"))


def test_the_size_of_an_image_is_looked_at_before_its_pixels() -> None:
    """The header says 48000x1, the pixels are missing: only who decodes them could complain of that."""
    whole = io.BytesIO()
    PIL.Image.new("RGB", (48_000, 1)).save(whole, "PNG")
    frame = Frame(file="a.png", time_s=0, width=48, height=32)
    with pytest.raises(SceneError, match="is 48000x1 pixels"):
        decode_frame(whole.getvalue()[:60], frame, "a.png")


def test_a_root_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="nowhere is no folder"):
        SceneLibrary(f"file://{tmp_path}/nowhere").ids()


def test_an_empty_root_has_no_scenes(tmp_path: Path) -> None:
    assert SceneLibrary(f"file://{tmp_path}").ids() == []


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="ftp"):
        SceneLibrary("ftp://somewhere")


def scene_of(*frames: dict[str, float] | None) -> Scene:
    """A scene with objects a, b, c; each frame gives the visible ratios, or None where they are unknown."""
    box = Box(center=(0, 0, 0), size=(1, 1, 1))
    return Scene(
        id="s",
        source="test",
        objects=tuple(SceneObject(id=i, label=i, box=box) for i in "abc"),
        frames=tuple(
            Frame(
                file=f"{t}.png",
                time_s=t,
                width=8,
                height=8,
                visible=None
                if seen is None
                else tuple(Sighting(object=o, ratio=r, box_px=(0, 0, 1, 1), pixels=1) for o, r in seen.items()),
            )
            for t, seen in enumerate(frames)
        ),
    )


def kept(scene: Scene) -> list[int]:
    return [int(f.time_s) for f in scene.frames]


@pytest.mark.parametrize(
    ("total", "wanted", "expected"),
    [
        pytest.param(5, 5, [0, 1, 2, 3, 4], id="all"),
        pytest.param(3, 8, [0, 1, 2], id="fewer-than-wanted"),
        pytest.param(9, 3, [0, 4, 8], id="first-middle-last"),
        pytest.param(10, 4, [0, 3, 6, 9], id="even"),
        pytest.param(10, 2, [0, 9], id="the-ends"),
        pytest.param(10, 1, [0], id="one"),
        pytest.param(6, 5, [0, 1, 3, 4, 5], id="nearly-all"),
        pytest.param(0, 4, [], id="none"),
    ],
)
def test_uniform_takes_evenly_spaced_frames_with_both_ends(total: int, wanted: int, expected: list[int]) -> None:
    assert kept(reduce(scene_of(*[{}] * total), wanted, "uniform")) == expected


@pytest.mark.parametrize(
    ("frames", "wanted", "expected"),
    [
        pytest.param([{"a": 1}, {"a": 1}, {"b": 1}, {"c": 1}], 3, [0, 2, 3], id="one-frame-an-object"),
        pytest.param([{"a": 1}, {"a": 0.9, "b": 0.9}, {"c": 0.2}], 2, [1, 2], id="two-objects-before-one"),
        pytest.param([{"a": 0.2}, {"a": 0.9}, {"a": 0.9}], 1, [1], id="the-better-view-the-earlier-first"),
        pytest.param([{"c": 1}, {"a": 1}, {}, {}, {}], 4, [0, 1, 2, 4], id="seen-all-then-evenly"),
        pytest.param([None, {"a": 1}, None], 1, [1], id="known-visibility-wins"),
        pytest.param([None] * 9, 3, [0, 4, 8], id="unknown-falls-back-to-uniform"),
    ],
)
def test_coverage_takes_the_frames_that_together_see_most(
    frames: list[dict[str, float] | None], wanted: int, expected: list[int]
) -> None:
    assert kept(reduce(scene_of(*frames), wanted, "coverage")) == expected


def test_reducing_to_no_frames_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        reduce(scene_of({}), 0, "uniform")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        pytest.param("a", "a", id="alone"),
        pytest.param("ab", "ba", id="two"),
        pytest.param("abc", "bca", id="three"),
        pytest.param("abcd", "cdab", id="four"),
        pytest.param("abcde", "cdeab", id="five"),
    ],
)
def test_elsewhere_is_half_the_list_further_on(ids: str, expected: str) -> None:
    assert [elsewhere(list(ids), i) for i in ids] == list(expected)
