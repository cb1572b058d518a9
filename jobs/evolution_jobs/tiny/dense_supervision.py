"""What each visual token shows and how far away that is: the first part of pre-training, and beside the questions ever after.

    sight = Sight(model, tokenizer); look(model, sight, image_processor, seconds, seed)

The renderer knows the object and the distance of every pixel, so every visual token has an answer of its own; through
questions alone the same tower needs many times as long before it sees anything. A token that shows a lamp is drawn towards the
embedding of the word "lamp": the language model then finds a word's object by likeness. Called by `pretrain`.
"""

import itertools
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from evolution_jobs.program import log
from evolution_jobs.scenes.furniture import STYLES
from evolution_jobs.scenes.meshes import room_mesh
from evolution_jobs.scenes.render import draw
from evolution_jobs.scenes.rooms import PRETRAINING_SEED, camera_walk, intrinsics, make_room
from evolution_jobs.tiny.curriculum import COLOURS, FRAME_PX, FRAMES, FURNITURE, OBJECTS, STYLES_SHOWN, Frames, as_frames
from evolution_jobs.tiny.qwen3_vl import MERGE, PATCH_PX
from evolution_jobs.tiny.ranks import Ranks

ROOMS_A_STEP = 8
"""Of each rank."""
LEARNING_RATE = 2e-3
LEAST_RATE = 0.25
"""Share of the learning rate that is left at the end."""
WARMUP_STEPS = 50
WEIGHT_DECAY = 0.02
LOG_EVERY = 50
TOKEN_PX = PATCH_PX * MERGE
TOKENS = FRAME_PX // TOKEN_PX
"""Visual tokens along a side of a frame."""
SHOWN_PX = 12
"""A token of 256 pixels shows a category from so many of them on."""
FARTHEST_M, NEAREST_M = 15.0, 0.3

View = tuple[Frames, Tensor, Tensor]
"""Frames, shown (tokens, categories) 0 or 1, log distance (tokens,)."""


def view(number: int, seed: int) -> View:
    """What the tokens of the `number`-th room's frames show; a function of both."""
    room = make_room(PRETRAINING_SEED + (seed << 32) + number, FURNITURE, *OBJECTS, colours=COLOURS, styles=STYLES_SHOWN)
    camera = intrinsics(FRAME_PX, FRAME_PX)
    drawn = draw(room_mesh(room), camera_walk(room, FRAMES), camera, FRAME_PX, FRAME_PX, STYLES[room.style].brightness)
    category = np.array([*(FURNITURE.index(piece.label) for piece in room.pieces), -1])[drawn.owners]  # (F, H, W)
    one_hot = category[..., None] == np.arange(len(FURNITURE))
    blocks = (FRAMES, TOKENS, TOKEN_PX, TOKENS, TOKEN_PX)
    shown = one_hot.reshape(*blocks, -1).sum(axis=(2, 4)) >= SHOWN_PX
    distance = np.log(np.clip(drawn.distances, NEAREST_M, FARTHEST_M)).reshape(blocks).mean(axis=(2, 4))
    return (
        as_frames(drawn.images),
        torch.from_numpy(shown).float().reshape(-1, len(FURNITURE)),
        torch.from_numpy(distance).ravel(),
    )


class Sight(torch.nn.Module):
    """Reads the tower's two outputs, the tokens by the words' own embeddings; thrown away after pre-training."""

    def __init__(self, model: Any, tokenizer: Any, seed: int) -> None:
        super().__init__()
        width = model.config.vision_config.out_hidden_size
        self.words = [tokenizer(label, add_special_tokens=False).input_ids for label in FURNITURE]
        self.embedding = [model.get_input_embeddings()]  # in a list: no parameters of this module
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.distance = torch.nn.Linear(width, 1)
            self.deep = torch.nn.Linear(width, len(FURNITURE) + 1)
        self.scale = torch.nn.Parameter(torch.tensor(1.0))
        self.bias = torch.nn.Parameter(torch.tensor(-2.0))

    def logits(self, tokens: Tensor) -> Tensor:
        """(tokens, width) -> (tokens, categories)."""
        table = self.embedding[0].weight
        words = torch.stack([table[ids].mean(0) for ids in self.words])
        return tokens @ words.T * self.scale + self.bias

    def loss(self, tokens: Tensor, features: Tensor, shown: Tensor, distance: Tensor) -> Tensor:
        """Of the tower's tokens and deepstack features, each (tokens, width): cross-entropy summed over categories, and the
        absolute error of the log distance; means over tokens and over both outputs."""
        deep = self.deep(features)
        named = sum(binary_cross_entropy_with_logits(x, shown) for x in (self.logits(tokens), deep[:, :-1]))
        far = sum((x - distance).abs().mean() for x in (self.distance(tokens)[:, 0], deep[:, -1]))
        return (named * shown.shape[1] + far) / 2  # type: ignore[no-any-return]


def look(model: Any, sight: Sight, image_processor: Any, seconds: float, seed: int, ranks: Ranks) -> int:
    """Train the vision tower of `model`, its words' embeddings and `sight` for so many seconds; returns the number of steps."""
    tower = model.model.visual
    parameters = [*tower.parameters(), *sight.parameters(), model.get_input_embeddings().weight]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True)
    started = time.monotonic()
    passed = 0.0
    for step in itertools.count():
        if passed >= 1:
            return step
        rate = LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * passed))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP_STEPS) * rate
        rooms = [view(number, seed) for number in ranks.numbers(step, ROOMS_A_STEP)]
        inputs = image_processor([frame for frames, _, _ in rooms for frame in frames], return_tensors="pt")
        shown, distance = torch.cat([shown for _, shown, _ in rooms]), torch.cat([distance for *_, distance in rooms])
        seen = tower(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"])
        loss = sight.loss(seen.pooler_output, seen.deepstack_features[0], shown, distance)
        loss.backward()  # type: ignore[no-untyped-call]
        passed = ranks.step(optimizer, (time.monotonic() - started) / seconds)
        if (step + 1) % LOG_EVERY == 0:
            named = sight.logits(seen.pooler_output) > 0
            right = (named & (shown > 0)).sum()
            recall, precision = float(right / shown.sum()), float(right / named.sum().clamp(min=1))
            log.info("looking, step %d: loss %.3f, recall %.2f, precision %.2f", step + 1, loss.item(), recall, precision)
    raise AssertionError
