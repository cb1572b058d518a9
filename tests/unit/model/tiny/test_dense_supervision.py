"""What the vision tower is taught of each token is what the renderer drew there, and it learns from it."""

import math

import torch

from evolution_jobs.tiny import dense_supervision, qwen3_vl
from evolution_jobs.tiny.curriculum import FRAMES, FURNITURE, LEFT_OUT_FURNITURE
from evolution_jobs.tiny.dense_supervision import TOKENS, Sight, look, view
from evolution_jobs.tiny.ranks import Ranks


def test_a_view_is_a_function_of_number_and_seed() -> None:
    one, same, other = (view(2, seed) for seed in (0, 0, 1))
    assert (one[1] == same[1]).all()
    assert (one[2] == same[2]).all()
    assert (one[2] != other[2]).any()


def test_every_token_has_an_answer_and_some_show_furniture() -> None:
    frames, shown, distance = view(2, 0)
    assert len(frames) == FRAMES
    assert shown.shape == (FRAMES * TOKENS**2, len(FURNITURE))
    assert 0 < shown.any(dim=1).float().mean() < 1
    assert not set(LEFT_OUT_FURNITURE) & {FURNITURE[i] for i in shown.any(dim=0).nonzero().flatten().tolist()}
    assert (distance > math.log(0.29)).all()
    assert (distance < math.log(15.1)).all()


def test_the_tokens_come_in_the_order_of_the_frames_rows() -> None:
    """A frame that is white where one token looks differs from an empty one in that token's patches only."""
    from PIL import Image

    processor = qwen3_vl.processor().image_processor
    empty, marked = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64))
    marked.paste((255, 255, 255), (32, 16, 48, 32))  # row 1, column 2
    patches = processor([empty, marked], return_tensors="pt")["pixel_values"].reshape(2, TOKENS**2, -1)
    assert (patches[0] != patches[1]).any(dim=1).nonzero().flatten().tolist() == [1 * TOKENS + 2]


def test_looking_changes_the_tower_and_the_words_and_nothing_else(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(dense_supervision, "ROOMS_A_STEP", 1)
    model, processor = qwen3_vl.model(0), qwen3_vl.processor()
    sight = Sight(model, processor.tokenizer, 0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert look(model, sight, processor.image_processor, 1.0, 0, Ranks()) >= 1
    changed = {".".join(name.split(".")[1:3]) for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name.split(".")[0] for name in changed} == {"visual", "language_model"}
    assert {name for name in changed if name.startswith("language_model")} == {"language_model.embed_tokens"}


def test_a_token_is_named_by_the_word_whose_embedding_it_is_like() -> None:
    model, processor = qwen3_vl.model(0), qwen3_vl.processor()
    sight = Sight(model, processor.tokenizer, 0)
    words = model.get_input_embeddings().weight
    lamp = words[processor.tokenizer("lamp").input_ids[0]]
    assert FURNITURE[int(sight.logits(lamp[None]).argmax())] == "lamp"
