"""All questions of a scene behind one visual prefix, in one sequence, with the numbers of one forward pass per question.

    prefix (chat header, all frames) | prompt 0, answer 0 | prompt 1, answer 1 | ...

Each question sees the prefix and itself (a block mask), and its M-RoPE positions restart where the prefix ends: to the
model it is as if the other questions were not there. Called by `solver`; knows tensors, not processors, prompts or weights.

Legend: L tokens of a pack, B packs in a batch, K answer tokens (end tokens included) of all questions, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PREFIX = -1
"""Owner of a column that every question sees."""
PADDING = -2
"""Owner of a column that only padding sees."""


@dataclass(frozen=True)
class Prefix:
    """The frames of a scene behind the chat template's user header; tensors on the model's device."""

    input_ids: Tensor  # (P,) int64
    positions: Tensor  # (3, P) int64: temporal, height, width
    pixel_values: Tensor  # (patches, channels * temporal * patch * patch)
    image_grid_thw: Tensor  # (frames, 3) int64, in patches

    @property
    def next_position(self) -> int:
        """Where the first token after the prefix stands, in all three axes."""
        return int(self.positions.max()) + 1


@dataclass(frozen=True)
class Pack:
    """One scene's questions with their answers, ready for a forward pass."""

    prefix: Prefix
    input_ids: Tensor  # (L,) int64; the end token of an answer is a target only and never stands here
    positions: Tensor  # (3, L) int64
    owners: Tensor  # (L,) int64: PREFIX or the question's index
    predicts: Tensor  # (L,) bool: the logits at this column predict an answer token
    targets: Tensor  # (K,) int64, question by question, each closed by the end token
    lengths: tuple[int, ...]  # per question: answer tokens, the end token included


def pack(prefix: Prefix, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Pack:
    """Token ids of prompts and answers -> pack. Each answer ends in its end token."""
    ids: list[int] = []
    positions: list[int] = []
    owners: list[int] = []
    predicts: list[bool] = []
    start = prefix.next_position
    for owner, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        tokens = [*prompt, *answer[:-1]]
        ids += tokens
        positions += range(start, start + len(tokens))
        owners += [owner] * len(tokens)
        predicts += [False] * (len(prompt) - 1) + [True] * len(answer)
    device = prefix.input_ids.device
    seen = len(prefix.input_ids)
    return Pack(
        prefix=prefix,
        input_ids=torch.cat([prefix.input_ids, torch.tensor(ids, dtype=torch.long, device=device)]),
        positions=torch.cat([prefix.positions, torch.tensor(positions, dtype=torch.long, device=device).expand(3, -1)], dim=1),
        owners=torch.tensor([PREFIX] * seen + owners, device=device),
        predicts=torch.tensor([False] * seen + predicts, device=device),
        targets=torch.tensor([token for answer in answers for token in answer], dtype=torch.long, device=device),
        lengths=tuple(len(answer) for answer in answers),
    )


def block_mask(rows: Tensor, columns: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive attention mask, 0 where seen and the lowest number elsewhere.

    rows (B, R) and columns (B, C) are owners; the rows are the last R columns. A row sees what is the prefix's or its own
    owner's, up to itself. Result (B, 1, R, C).
    """
    length, width = rows.shape[1], columns.shape[1]
    causal = torch.ones(length, width, dtype=torch.bool, device=rows.device).tril(width - length)
    theirs = columns[:, None, :]
    seen = causal & ((theirs == PREFIX) | (theirs == rows[:, :, None]))
    mask = torch.zeros(seen.shape, dtype=dtype, device=rows.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _pad(rows: Sequence[Tensor], value: int) -> Tensor:
    """[(..., L_b)] -> (B, ..., L), filled up on the right."""
    longest = max(row.shape[-1] for row in rows)
    return torch.stack([torch.nn.functional.pad(row, (0, longest - row.shape[-1]), value=value) for row in rows])


def model_inputs(packs: Sequence[Pack], dtype: torch.dtype) -> dict[str, Any]:
    """Keyword arguments of `Qwen3VLForConditionalGeneration.forward`; its logits are then (K, V), pack by pack.

    `logits_to_keep` slices the hidden states before the head: with 150,000 words, logits of every token would not fit.
    """
    owners = _pad([p.owners for p in packs], PADDING)  # (B, L)
    return {
        "input_ids": _pad([p.input_ids for p in packs], 0),
        "position_ids": _pad([p.positions for p in packs], 0).transpose(0, 1),  # (3, B, L)
        "attention_mask": block_mask(owners, owners, dtype),
        "pixel_values": torch.cat([p.prefix.pixel_values for p in packs]),
        "image_grid_thw": torch.cat([p.prefix.image_grid_thw for p in packs]),
        "logits_to_keep": _pad([p.predicts for p in packs], 0),
        "use_cache": False,
    }
