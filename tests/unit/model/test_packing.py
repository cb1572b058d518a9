"""Packed questions must give the numbers of one stock forward pass per question."""

from collections.abc import Callable, Sequence

import pytest
import torch
from PIL import Image

from evolution_jobs.model import packing
from evolution_jobs.model.prompts import messages
from evolution_jobs.model.solver import Solver

Frames = Callable[[int, int], list[Image.Image]]

PROMPTS = [
    "how many chairs are there?",
    "is there a red lamp in the room?",
    "how far is the bed from the sofa in metres?",
    "which is closer? bed; sofa",
]
ANSWERS = ["3", "yes", "1.5", "sofa"]


def alone(solver: Solver, images: Sequence[Image.Image], prompt: str, answer: str) -> torch.Tensor:
    """Log-probabilities of the answer's tokens and its end token, by the stock processor and the stock forward pass."""
    chat = messages([{"type": "image"}] * len(images), prompt)
    text = solver.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    inputs = solver.processor(text=[text + answer + "<|im_end|>"], images=list(images), return_tensors="pt")
    targets = [*solver.tokenizer(answer).input_ids, solver.end_id]
    logits = solver.model(**inputs).logits[0, -len(targets) - 1 : -1].float()
    return logits.log_softmax(-1)[torch.arange(len(targets)), torch.tensor(targets)]


def test_packed_log_probabilities_equal_those_of_one_pass_per_question(solver: Solver, frames: Frames) -> None:
    images = frames(1, 3)
    packed = solver.log_probabilities(solver.pack(images, PROMPTS, ANSWERS))
    for mine, prompt, answer in zip(packed, PROMPTS, ANSWERS, strict=True):
        torch.testing.assert_close(mine, alone(solver, images, prompt, answer), atol=1e-5, rtol=0)


def test_packed_confidences_equal_those_of_one_pass_per_question(solver: Solver, frames: Frames) -> None:
    images = frames(1, 3)
    packed = solver.confidences(solver.pack(images, PROMPTS, ANSWERS))
    expected = [float(alone(solver, images, p, a).detach()[:-1].mean().exp()) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert packed == pytest.approx(expected, abs=1e-5)


def test_packed_loss_and_gradients_equal_those_of_one_pass_per_question(solver: Solver, frames: Frames) -> None:
    images = frames(1, 3)
    per_token = torch.cat(solver.log_probabilities(solver.pack(images, PROMPTS, ANSWERS)))
    loss = -per_token.sum()
    loss.backward()  # type: ignore[no-untyped-call]
    packed = {name: p.grad.clone() for name, p in solver.model.named_parameters() if p.grad is not None}
    solver.model.zero_grad()
    total = sum(-alone(solver, images, p, a).sum() for p, a in zip(PROMPTS, ANSWERS, strict=True))
    assert isinstance(total, torch.Tensor)
    total.backward()  # type: ignore[no-untyped-call]
    one_by_one = {name: p.grad.clone() for name, p in solver.model.named_parameters() if p.grad is not None}
    solver.model.zero_grad()
    assert len(per_token) == 2 + 2 + 4 + 2
    assert float(loss.detach()) == pytest.approx(float(total.detach()), rel=1e-5)
    assert packed.keys() == one_by_one.keys()
    for name, gradient in packed.items():
        torch.testing.assert_close(gradient, one_by_one[name], atol=1e-5, rtol=1e-4, msg=name)


def test_scenes_of_different_length_share_a_batch_without_touching_each_other(solver: Solver, frames: Frames) -> None:
    packs = [solver.pack(frames(1, 3), PROMPTS, ANSWERS), solver.pack(frames(2, 2), PROMPTS[:1], ANSWERS[:1])]
    together = solver.confidences(*packs)
    assert together == pytest.approx([p for pack in packs for p in solver.confidences(pack)], abs=1e-5)


def test_answers_equal_stock_generation_question_by_question(solver: Solver, frames: Frames) -> None:
    images = frames(4, 3)
    expected = []
    for prompt in PROMPTS:
        chat = messages([{"type": "image"}] * len(images), prompt)
        text = solver.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        inputs = solver.processor(text=[text], images=images, return_tensors="pt")
        out = solver.model.generate(**inputs, max_new_tokens=6, do_sample=False)
        expected.append(solver.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    assert solver.answer(images, PROMPTS, max_new_tokens=6) == expected


def test_a_question_sees_the_prefix_and_itself_only() -> None:
    owners = torch.tensor([[packing.PREFIX, packing.PREFIX, 0, 0, 1, packing.PADDING]])
    seen = packing.block_mask(owners, owners, torch.float32)[0, 0] == 0
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 1],
    ]


def test_a_scene_without_frames_is_refused(solver: Solver) -> None:
    with pytest.raises(ValueError, match="without frames"):
        solver.pack([], PROMPTS, ANSWERS)


def test_bfloat16_stays_near_float32(solver: Solver, frames: Frames, tiny_folder) -> None:  # type: ignore[no-untyped-def]
    half = Solver.load(tiny_folder, "bfloat16", "cpu")
    images = frames(1, 2)
    assert half.confidences(half.pack(images, PROMPTS, ANSWERS)) == pytest.approx(
        solver.confidences(solver.pack(images, PROMPTS, ANSWERS)), rel=0.1
    )
    assert len(half.answer(images, PROMPTS)) == len(PROMPTS)
