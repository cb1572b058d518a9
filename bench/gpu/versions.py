"""Phase 0: what is here, what the card can do at best, and which attention kernels PyTorch chooses for our shapes.

The shapes are not written down here: a solver as wide as the real one answers and is scored on a real pack, and every call
of attention on the way is looked at.
"""

import importlib.metadata
import platform
from typing import Any

import torch
from bench.gpu.phase import Report
from bench.gpu.scale import Scale, packed, random_solver, rooms, seconds
from torch.nn import functional
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode

PACKAGES = ("torch", "transformers", "deepspeed", "kserve", "pydantic", "numpy", "pydantic-monty")
FEW_LAYERS = 4
"""All layers of a tower call attention alike; the vision tower needs four for its three deepstack outputs."""
PRODUCT = 8192
"""Width of the matrix product by which the card's own ceiling is measured."""


class AttentionCalls(TorchFunctionMode):
    """Notes the kernel that PyTorch chooses for each call of attention, by what the choice depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        if function is functional.scaled_dot_product_attention:
            query, key, value = arguments
            asked = {
                name: named[name] for name in ("attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa") if name in named
            }
            choice = SDPBackend(torch._fused_sdp_choice(query, key, value, **asked)).name
            mask = asked.get("attn_mask")
            kind = "masked" if mask is not None else "causal" if asked.get("is_causal") else "full"
            shape = f"{kind} q{tuple(query.shape)} k{tuple(key.shape)} {str(query.dtype).removeprefix('torch.')}"
            call = f"{shape} grad={query.requires_grad} -> {choice}"
            self.seen[call] = self.seen.get(call, 0) + 1
        return function(*arguments, **named)


def installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def measure(scale: Scale, report: Report) -> None:
    report.note(python=platform.python_version(), **{name: installed(name) for name in PACKAGES})
    if scale.real:
        free, total = torch.cuda.mem_get_info()
        card = torch.cuda.get_device_properties(0)
        report.note(
            card=card.name,
            capability=f"{card.major}.{card.minor}",
            multiprocessors=card.multi_processor_count,
            cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
            free_gb=round(free / 1e9, 1),
            total_gb=round(total / 1e9, 1),
        )
        wide = torch.randn(PRODUCT, PRODUCT, device="cuda", dtype=torch.bfloat16)
        took = min(seconds(scale, lambda: wide @ wide, 10))
        report.note(matmul_tflops=round(2 * PRODUCT**3 / took / 1e12, 1))
        del wide
    (room,) = rooms(scale, 1)
    solver = random_solver(scale, FEW_LAYERS, FEW_LAYERS)
    pack = packed(solver, room.images, room.pairs(15))
    report.note(pack_tokens=len(pack.input_ids), prefix_tokens=len(pack.prefix.input_ids), patches=len(pack.prefix.pixel_values))
    with AttentionCalls() as calls:
        solver.confidences(pack)
        torch.cat(solver.log_probabilities(pack)).sum().backward()
        solver.answer(room.images, [prompt for prompt, _ in room.pairs(2)], max_new_tokens=2)
    report.note(attention=dict(sorted(calls.seen.items())))
