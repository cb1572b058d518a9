"""Phase 2: attention over one scene's pack at Qwen3-VL-4B's shape, through the function that the model calls, by each backend.

Masks are those of `packing.block_mask`: a prefix, and 15 questions that see it and themselves. The length decides what happens:
10,560 is 64 above a multiple of 128, where with a mask cuDNN's backward has given NaN for rows whose logsumexp is low
(pytorch#196678); 10,563 is no multiple of 8, so that the memory-efficient kernel pads the mask; 10,624 is a multiple of 128.
"""

from contextlib import nullcontext
from statistics import median
from types import SimpleNamespace
from typing import Any

import torch
from bench.gpu.phase import Report, said
from bench.gpu.scale import QUESTIONS_PER_SCENE, Scale, peak_bytes, seconds, settle
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from evolution_jobs.model.packing import PREFIX, block_mask

LENGTHS = (10_560, 10_563, 10_624)
SMALL_LENGTHS = (64, 67, 128)
PREFIX_SHARE = 0.93
"""Of the tokens of a real pack: 9,818 of 10,560."""
HEADS, GROUPS, WIDTH = 32, 8, 128
"""Query heads, key-value heads, width of a head."""
BACKENDS: dict[str, SDPBackend | None] = {
    "default": None,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "math": SDPBackend.MATH,
}
"""`default` is what training runs with today: no backend is named, PyTorch chooses."""
LOW = -20.0
"""The first query is so many times the first key: with one column to see, its logsumexp is about -226."""
REPEATS = 5
CHECKED_HEADS = HEADS // GROUPS
"""Heads whose output is compared with float32: those of the first key-value head."""
TOLERANCE = {"bfloat16": 2e-2, "float32": 1e-4}
"""Largest relative error of an output or a gradient: bfloat16 keeps 8 bits, and its inputs are exact here. In float32 backward
passes take exp(score - logsumexp) anew, and of numbers near 226 that is right to 1.5e-5."""


def inputs(scale: Scale, length: int) -> tuple[Tensor, ...]:
    """Of a pack of that length: q (1, HEADS, L, WIDTH), k and v (1, GROUPS, L, WIDTH), the additive mask (1, 1, L, L), and the
    gradient of the output (1, L, HEADS, WIDTH)."""
    dtype = getattr(torch, scale.dtype)
    generator = torch.Generator(scale.device).manual_seed(length)

    def normal(heads: int) -> Tensor:
        return torch.randn(1, heads, length, WIDTH, device=scale.device, dtype=dtype, generator=generator)

    q, k, v = normal(HEADS), normal(GROUPS), normal(GROUPS)
    q[:, :, 0] = LOW * k[:, :, 0].repeat_interleave(HEADS // GROUPS, dim=1)
    prefix = int(PREFIX_SHARE * length)
    question = (torch.arange(length - prefix) * QUESTIONS_PER_SCENE) // (length - prefix)
    owners = torch.cat([torch.full((prefix,), PREFIX), question])[None].to(scale.device)
    return q, k, v, block_mask(owners, owners, dtype), normal(HEADS).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """(1, L, heads, WIDTH), as a layer of the text model calls it."""
    layer: Any = SimpleNamespace(num_key_value_groups=q.shape[1] // k.shape[1], is_causal=True)
    return sdpa_attention_forward(layer, q, k, v, mask, scaling=WIDTH**-0.5)[0]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).norm() / b.float().norm())


Reference = dict[str, Any]
"""In float32, of the first key-value head and the query heads that share it: output and gradients."""


def reference_of(tensors: tuple[Tensor, ...]) -> Reference:
    q, k, v, mask, upstream = (t.detach().float() for t in tensors)
    parts = [t.clone().requires_grad_() for t in (q[:, :CHECKED_HEADS], k[:, :1], v[:, :1])]
    with sdpa_kernel(SDPBackend.MATH):
        out = attend(*parts, mask)
        out.backward(upstream[:, :, :CHECKED_HEADS])
    dq, dk, dv = (t.grad for t in parts)
    return {"out": out.detach(), "dq": dq, "dk": dk, "dv": dv}


def try_one(scale: Scale, backend: SDPBackend | None, tensors: tuple[Tensor, ...], reference: Reference) -> dict[str, Any]:
    q, k, v, mask, upstream = (t.detach() for t in tensors)
    q, k, v = (t.requires_grad_() for t in (q, k, v))

    def forward() -> Tensor:
        with torch.no_grad():
            return attend(q, k, v, mask)

    def both() -> None:
        q.grad = k.grad = v.grad = None
        attend(q, k, v, mask).backward(upstream)

    with nullcontext() if backend is None else sdpa_kernel(backend):
        settle(scale)
        before = torch.cuda.memory_allocated() if scale.real else 0
        both()
        peak = peak_bytes(scale)
        found = {"out": forward(), "dq": q.grad, "dk": k.grad, "dv": v.grad}
        bad = {name: int((~t.isfinite()).sum()) for name, t in found.items() if t is not None}
        checked = {
            "out": found["out"][:, :, :CHECKED_HEADS],
            "dq": found["dq"][:, :CHECKED_HEADS],
            "dk": found["dk"][:, :1],
            "dv": found["dv"][:, :1],
        }
        return {
            "forward_ms": round(1e3 * median(seconds(scale, forward, REPEATS)), 2),
            "both_ms": round(1e3 * median(seconds(scale, both, REPEATS)), 2),
            "peak_gb": None if peak is None else round((peak - before) / 1e9, 2),
            "nonfinite": {name: count for name, count in bad.items() if count},
            "relative_error": {name: relative(t, reference[name]) for name, t in checked.items()},
        }


def measure(scale: Scale, report: Report) -> None:
    results: dict[str, dict[str, Any]] = {}
    for length in LENGTHS if scale.real else SMALL_LENGTHS:
        tensors = inputs(scale, length)
        reference = reference_of(tensors)
        for name, backend in BACKENDS.items():
            try:
                found = try_one(scale, backend, tensors, reference)
            except RuntimeError as error:  # a backend that refuses these inputs, or the memory
                found = {"refused": said(error)}
            results[f"{length} {name}"] = found
            report.note(attention=results)
            if name == "default":
                judge(scale, report, length, found)
        settle(scale)


def judge(scale: Scale, report: Report, length: int, found: dict[str, Any]) -> None:
    """Only what training runs with is at fault; the other backends are there to choose from."""
    if "refused" in found:
        report.fault(f"attention over {length} tokens fails as training calls it: {found['refused']}")
    elif found["nonfinite"]:
        report.fault(
            f"attention over {length} tokens gives values that are not finite, as training calls it: {found['nonfinite']}"
        )
    for name, error in found.get("relative_error", {}).items():
        if error > TOLERANCE[scale.dtype]:
            report.fault(f"attention over {length} tokens, {name}: off by {error:.1e} of its norm, as training calls it")
