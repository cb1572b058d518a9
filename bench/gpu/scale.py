"""The two sizes at which the check measures, and what its phases share: a solver of random weights, rooms, questions, clocks.

FULL is Qwen3-VL-4B on a GPU with 32 frames of 640x480; SMALL is the tiny model on this machine's CPUs, for the code alone.
"""

import gc
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from bench.gpu.check import CARRIED
from PIL.Image import Image

from evolution_api.question import Question
from evolution_jobs.model.packing import Pack
from evolution_jobs.model.prompts import answer_text, prompt_text
from evolution_jobs.model.solver import Solver
from evolution_jobs.scenes.library import SceneLibrary
from evolution_jobs.tiny import qwen3_vl

QUESTIONS_PER_SCENE = 15


@dataclass(frozen=True)
class Scale:
    device: Literal["cuda", "cpu"]
    dtype: Literal["bfloat16", "float32"]
    rooms: str
    """Folder of prepared scenes below CARRIED."""
    frames: int
    text_layers: int
    vision_layers: int

    @property
    def real(self) -> bool:
        return self.device == "cuda"


FULL = Scale("cuda", "bfloat16", "rooms-640x480", frames=32, text_layers=36, vision_layers=24)
SMALL = Scale("cpu", "float32", "rooms-64x64", frames=6, text_layers=6, vision_layers=6)

WIDTHS_4B: dict[str, dict[str, Any]] = {
    "text_config": {
        "vocab_size": 151_936,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 262_144,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 5_000_000.0,
            "mrope_section": [24, 20, 20],
            "mrope_interleaved": True,
        },
    },
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "patch_size": 16,
        "out_hidden_size": 2560,
        "num_position_embeddings": 2304,
    },
}
"""Qwen3-VL-4B-Instruct's config.json, as far as it differs from the tiny model's. With 36 and 24 layers 4.438e9 parameters."""
PIXELS_4B = {"shortest_edge": 65_536, "longest_edge": 16_777_216}
"""Its preprocessor_config.json: fewest and most pixels of a picture."""


def configuration(scale: Scale, text_layers: int, depth: int) -> Any:
    """With so many layers of text and vision, and the tiny tokenizer's special tokens."""
    from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLConfig

    described = qwen3_vl.model().config.to_dict()
    described["text_config"] |= {"num_hidden_layers": text_layers}
    described["vision_config"] |= {"depth": depth, "deepstack_visual_indexes": [depth // 2]}
    if scale.real:
        for tower, widths in WIDTHS_4B.items():
            described[tower] |= widths
        described["vision_config"]["deepstack_visual_indexes"] = [(i + 1) * depth // 24 - 1 for i in (5, 11, 17)]  # of 24 layers
    return Qwen3VLConfig(**described)


def random_solver(scale: Scale, text_layers: int | None = None, vision_layers: int | None = None) -> Solver:
    """Random weights, made on the device itself; all layers of the scale where none are named. Words are the tiny tokenizer's."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLForConditionalGeneration

    config = configuration(scale, text_layers or scale.text_layers, vision_layers or scale.vision_layers)
    processor = qwen3_vl.processor()
    if scale.real:
        patches = {"patch_size": WIDTHS_4B["vision_config"]["patch_size"], "temporal_patch_size": 2, "merge_size": qwen3_vl.MERGE}
        processor.image_processor = Qwen2VLImageProcessor(size=PIXELS_4B, **patches, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    torch.manual_seed(0)
    with torch.device(scale.device):
        model = Qwen3VLForConditionalGeneration._from_config(config, dtype=getattr(torch, scale.dtype))
    return Solver(model.eval(), processor)


@dataclass(frozen=True)
class Room:
    id: str
    images: list[Image]
    questions: list[Question]

    def pairs(self, count: int) -> list[tuple[str, str]]:
        """Prompt and true answer of the first `count` questions."""
        return [(prompt_text(q, "letter"), answer_text(q, "letter")) for q in self.questions[:count]]


def rooms(scale: Scale, count: int, questions: int = QUESTIONS_PER_SCENE) -> list[Room]:
    """The first `count` rooms, each with `questions` questions. Raises SceneError where nothing was carried."""
    from bench.training import questions_of

    library = SceneLibrary((CARRIED / scale.rooms).as_uri())
    found = []
    for scene_id in library.ids()[:count]:
        scene = library.scene(scene_id)
        images = [library.image(scene_id, frame) for frame in scene.frames[: scale.frames]]
        found.append(Room(scene_id, images, questions_of(scene, questions, random.Random(scene_id))))
    return found


def packed(solver: Solver, images: Sequence[Image], pairs: Sequence[tuple[str, str]]) -> Pack:
    return solver.pack(images, [prompt for prompt, _ in pairs], [answer for _, answer in pairs])


def settle(scale: Scale) -> None:
    """Wait for the device, free what nobody holds, and start counting its peak memory anew."""
    gc.collect()
    if scale.real:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_bytes(scale: Scale) -> int | None:
    return torch.cuda.max_memory_allocated() if scale.real else None


def seconds(scale: Scale, work: Callable[[], object], repeats: int, *, warm: bool = True) -> list[float]:
    """Wall seconds of each repeat, the device waited for; `warm`: one more comes first that is not timed."""
    taken = []
    for repeat in range(0 if warm else 1, repeats + 1):
        started = time.perf_counter()
        work()
        if scale.real:
            torch.cuda.synchronize()
        if repeat:
            taken.append(time.perf_counter() - started)
    return taken


def need_memory(scale: Scale, needed_bytes: int, what: str) -> None:
    """Raises RuntimeError where the card has not so much left: others may be at work on it."""
    if scale.real:
        free, total = torch.cuda.mem_get_info()
        if free < needed_bytes:
            raise RuntimeError(
                f"{what} takes {needed_bytes / 1e9:.0f} GB, and {free / 1e9:.0f} of the card's {total / 1e9:.0f} GB are free; "
                "stop what else is on it, or take a card with more memory"
            )
