"""Prepared scenes on a real S3 server: written, listed, read and refused as in a folder."""

import pytest

from evolution_api.run.scenes import Procedural
from evolution_jobs.scenes.library import SceneError, SceneLibrary
from evolution_jobs.scenes.prepare import prepare_procedural


def test_scenes_are_written_to_s3_and_read_back(s3_endpoint: str) -> None:
    uri = "s3://runs/prepared/scenes"
    spec = Procedural(rooms=2, width=32, height=32)
    prepare_procedural(uri, spec, 1, 2, endpoint=s3_endpoint)
    library = SceneLibrary(uri, s3_endpoint)
    assert library.ids() == ["room-00000", "room-00001"]
    scene = library.scene("room-00001")
    library.check("room-00001", scene)
    library.store.delete("room-00001/frames/001.png")
    with pytest.raises(SceneError, match=r"frames/001\.png is missing"):
        library.check("room-00001", scene)
    prepare_procedural(uri, spec, 1, 2, endpoint=s3_endpoint)
    library.check("room-00001", library.scene("room-00001"))


def test_an_empty_prefix_has_no_scenes(s3_endpoint: str) -> None:
    assert SceneLibrary("s3://runs/nothing/here", s3_endpoint).ids() == []
