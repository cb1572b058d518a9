"""What the vision tower is taught of each token is what the renderer drew there, and it learns from it."""

import numpy as np
import torch

from evolution_jobs.model import looking, tiny
from evolution_jobs.model.curriculum import FRAMES, FURNITURE, LEFT_OUT_FURNITURE
from evolution_jobs.model.looking import TOKENS, lesson, look


def test_a_lesson_is_a_function_of_number_and_seed() -> None:
    one, same, other = (lesson(2, seed) for seed in (0, 0, 1))
    assert (one[1] == same[1]).all()
    assert (one[2] == same[2]).all()
    assert (one[2] != other[2]).any()


def test_every_token_has_an_answer_and_some_show_furniture() -> None:
    frames, shown, distance = lesson(2, 0)
    assert len(frames) == FRAMES
    assert shown.shape == (FRAMES * TOKENS**2, len(FURNITURE))
    assert 0 < shown.any(axis=1).mean() < 1
    assert not set(LEFT_OUT_FURNITURE) & {FURNITURE[i] for i in np.flatnonzero(shown.any(axis=0))}
    assert (distance > np.log(0.29)).all()
    assert (distance < np.log(15.1)).all()


def test_the_tokens_come_in_the_order_of_the_frames_rows() -> None:
    """A frame that is white where one token looks differs from an empty one in that token's patches only."""
    from PIL import Image

    processor = tiny.processor().image_processor
    empty, marked = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64))
    marked.paste((255, 255, 255), (32, 16, 48, 32))  # row 1, column 2
    patches = processor([empty, marked], return_tensors="pt")["pixel_values"].reshape(2, TOKENS**2, -1)
    assert (patches[0] != patches[1]).any(dim=1).nonzero().flatten().tolist() == [1 * TOKENS + 2]


def test_looking_changes_the_tower_and_nothing_else(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(looking, "ROOMS_A_STEP", 1)
    model = tiny.model(0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert look(model, tiny.processor().image_processor, 1.0, 0) >= 1
    changed = {name.split(".")[1] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"visual"}
