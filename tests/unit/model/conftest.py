"""A tiny solver with random weights, and frames that differ."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from evolution_jobs.model.solver import Solver
from evolution_jobs.tiny import qwen3_vl


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny-model")
    qwen3_vl.build(path, seed=3)
    return path


@pytest.fixture(scope="session")
def solver(tiny_folder: Path) -> Solver:
    return Solver.load(tiny_folder, "float32", "cpu")


@pytest.fixture
def frames() -> Callable[[int, int], list[Image.Image]]:
    """frames(seed, count): images of noise, a function of the seed."""

    def make(seed: int, count: int) -> list[Image.Image]:
        source = random.Random(seed)
        return [Image.frombytes("RGB", (64, 64), source.randbytes(64 * 64 * 3)) for _ in range(count)]

    return make
