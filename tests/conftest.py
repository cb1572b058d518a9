"""Fixtures that more than one area of the tests uses."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scenes and questions; skips where it is absent."""
    folder = Path(os.environ.get("EVOLUTION_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EVOLUTION_DATA to the folder that holds vsibench/")
    return folder
