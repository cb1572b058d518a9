"""Floating-point operations of one training step over one pack, counted by formula: those that the model needs, not those that a
kernel spends on what a mask hides.

A matrix product of n weights takes 2 n operations a row forward and 4 n backward (PaLM, arXiv 2204.02311, appendix B). Attention
takes 4 x heads x width for each pair of a row and a column that it sees, forward, and twice that backward. Recomputed activations
do not count.
"""

from collections.abc import Iterable
from typing import Any

from torch import nn

from evolution_jobs.model.packing import PREFIX, Pack

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 operations a second by the makers' data sheets (SXM)."""


def peak(card: str) -> float | None:
    return next((flops for name, flops in PEAK_BF16.items() if name in card), None)


def weights(module: nn.Module) -> int:
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear | nn.Conv3d))


def seen_pairs(pack: Pack) -> int:
    """Pairs of a row and a column that it sees, by the block mask."""
    owners = pack.owners.tolist()
    prefix = owners.count(PREFIX)
    lengths: list[int] = [owners.count(owner) for owner in range(len(pack.lengths))]
    return triangle(prefix) + sum(length * prefix + triangle(length) for length in lengths)


def triangle(n: int) -> int:
    return n * (n + 1) // 2


def products(model: Any, pack: Pack) -> int:
    """Forward operations of all matrix products; the head is computed where an answer token is predicted, and nowhere else."""
    vision, text = model.model.visual, model.model.language_model
    patches = len(pack.prefix.pixel_values)
    merged = patches // model.config.vision_config.spatial_merge_size**2
    per_patch = weights(vision.blocks) + weights(vision.patch_embed)
    per_merged = weights(vision.merger) + weights(vision.deepstack_merger_list)
    return 2 * (
        per_patch * patches
        + per_merged * merged
        + weights(text.layers) * len(pack.input_ids)
        + model.lm_head.weight.numel() * len(pack.targets)
    )


def attention(model: Any, pack: Pack) -> int:
    """Forward operations of all attention. Patches see their own frame's patches."""
    text, vision = model.config.text_config, model.config.vision_config
    frames: Iterable[int] = pack.prefix.image_grid_thw.prod(dim=1).tolist()
    of_text = text.num_hidden_layers * text.num_attention_heads * text.head_dim * seen_pairs(pack)
    of_vision = vision.depth * vision.hidden_size * sum(patches**2 for patches in frames)
    return 4 * (of_text + of_vision)


def step(model: Any, pack: Pack) -> int:
    """Forward and backward, all weights trained."""
    return 3 * (products(model, pack) + attention(model, pack))
