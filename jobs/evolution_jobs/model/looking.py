"""The first part of pre-training: the vision tower alone learns what each of its tokens shows, and how far away that is.

    look(model, minutes, seed)

The renderer knows the object and the distance of every pixel, so every visual token has an answer of its own; through
questions alone the same tower needs many times as long before it sees anything. Two linear heads read the tower's two outputs
(the tokens and the deepstack features) and are thrown away afterwards. Called by `pretrain`.
"""

import itertools
import math
import multiprocessing
import pickle
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from evolution_jobs.model.curriculum import COLOURS, FRAME_PX, FRAMES, FURNITURE, OBJECTS, STYLES_SHOWN, as_frames
from evolution_jobs.model.tiny import MERGE, PATCH_PX
from evolution_jobs.program import log
from evolution_jobs.scenes.furniture import STYLES
from evolution_jobs.scenes.meshes import room_mesh
from evolution_jobs.scenes.render import draw
from evolution_jobs.scenes.rooms import PRETRAINING_SEED, camera_walk, intrinsics, make_room

ROOMS_A_STEP = 8
LEARNING_RATE = 2e-3
LEAST_RATE = 0.1
"""Share of the learning rate that is left at the end."""
WARMUP_STEPS = 50
WEIGHT_DECAY = 0.02
CLIP = 1.0
STEPS_AHEAD = 4
LOG_EVERY = 50
TOKEN_PX = PATCH_PX * MERGE
TOKENS = FRAME_PX // TOKEN_PX
"""Visual tokens along a side of a frame."""
SHOWN_PX = 12
"""A token of 256 pixels shows a category from so many of them on."""
FARTHEST_M, NEAREST_M = 15.0, 0.3

Lesson = tuple[Any, np.ndarray, np.ndarray]
"""Frames as images, shown (tokens, categories) bool, log distance (tokens,)."""


def lesson(number: int, seed: int) -> Lesson:
    """What the tokens of the `number`-th room's frames show; a function of both."""
    room = make_room(PRETRAINING_SEED + (seed << 32) + number, FURNITURE, *OBJECTS, colours=COLOURS, styles=STYLES_SHOWN)
    camera = intrinsics(FRAME_PX, FRAME_PX)
    drawn = draw(room_mesh(room), camera_walk(room, FRAMES), camera, FRAME_PX, FRAME_PX, STYLES[room.style].brightness)
    category = np.array([*(FURNITURE.index(piece.label) for piece in room.pieces), -1])[drawn.owners]  # (F, H, W)
    one_hot = category[..., None] == np.arange(len(FURNITURE))
    blocks = (FRAMES, TOKENS, TOKEN_PX, TOKENS, TOKEN_PX)
    shown = one_hot.reshape(*blocks, -1).sum(axis=(2, 4)) >= SHOWN_PX
    distance = np.log(np.clip(drawn.distances, NEAREST_M, FARTHEST_M)).reshape(blocks).mean(axis=(2, 4))
    return as_frames(drawn.images), shown.reshape(-1, len(FURNITURE)), distance.reshape(-1)


def make_batches(image_processor: Any, seed: int, sink: Any) -> None:
    """The other process: rooms drawn and cut into patches."""
    torch.set_num_threads(1)
    for first in itertools.count(0, ROOMS_A_STEP):
        rooms = [lesson(number, seed) for number in range(first, first + ROOMS_A_STEP)]
        inputs = image_processor([frame for frames, _, _ in rooms for frame in frames], return_tensors="np")
        shown, distance = (np.concatenate([room[i] for room in rooms]) for i in (1, 2))
        sink.put(pickle.dumps((inputs["pixel_values"], inputs["image_grid_thw"], shown, distance)))


def batches(image_processor: Any, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    context = multiprocessing.get_context("fork")
    queue = context.Queue(maxsize=STEPS_AHEAD)
    maker = context.Process(target=make_batches, args=(image_processor, seed, queue), daemon=True)
    maker.start()
    try:
        while True:
            pixels, grid, shown, distance = (torch.from_numpy(a) for a in pickle.loads(queue.get(timeout=120)))  # noqa: S301
            yield pixels, grid, shown.float(), distance.float()
    finally:
        maker.terminate()


def look(model: Any, image_processor: Any, seconds: float, seed: int) -> int:
    """Train the vision tower of `model` in place for so many seconds; returns the number of steps."""
    tower, width = model.model.visual, model.config.vision_config.out_hidden_size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = torch.nn.ModuleList(torch.nn.Linear(width, len(FURNITURE) + 1) for _ in range(2))
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True)
    started = time.monotonic()
    step = 0
    for step, (pixels, grid, shown, distance) in enumerate(batches(image_processor, seed), 1):
        passed = (time.monotonic() - started) / seconds
        if passed >= 1:
            break
        rate = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * passed))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, step / WARMUP_STEPS) * rate
        seen = tower(pixels, grid_thw=grid)
        said = [head(x) for head, x in zip(heads, (seen.pooler_output, seen.deepstack_features[0]), strict=True)]
        loss = torch.stack([_loss(x, shown, distance) for x in said]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        optimizer.zero_grad()
        if step % LOG_EVERY == 0:
            named = said[0][:, :-1] > 0
            right = (named & (shown > 0)).sum()
            recall, precision = float(right / shown.sum()), float(right / named.sum().clamp(min=1))
            log.info("looking, step %d: loss %.3f, recall %.2f, precision %.2f", step, loss.item(), recall, precision)
    return step


def _loss(said: Tensor, shown: Tensor, distance: Tensor) -> Tensor:
    """Cross-entropy summed over categories, and the absolute error of the log distance; means over tokens."""
    named = binary_cross_entropy_with_logits(said[:, :-1], shown) * shown.shape[1]
    return named + (said[:, -1] - distance).abs().mean()
