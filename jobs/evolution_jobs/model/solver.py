"""A Qwen3-VL checkpoint that reads a scene once and then answers, or is scored on, all of the scene's questions.

Called by the programs that probe, train, evaluate and pre-train; knows tokens and weights, not kinds, scenes or
storage. Works on any Qwen3-VL checkpoint in Hugging Face layout, on any device, in any number format.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from evolution_jobs.model import packing
from evolution_jobs.model.packing import Pack, Prefix
from evolution_jobs.model.prompts import messages
from evolution_jobs.program import BadInputError

PLACE_OF_THE_PROMPT = "%PROMPT%"


class Solver:
    """`model` is a Qwen3VLForConditionalGeneration, `processor` its Qwen3VLProcessor."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.end_id = int(self.tokenizer.eos_token_id)
        self._around_the_prompt = lru_cache(maxsize=8)(self._render)

    @staticmethod
    def load(path: Path, dtype: str, device: str) -> "Solver":
        """Open a folder in Hugging Face layout, in evaluation mode. Raises BadInputError naming what the folder lacks."""
        check_folder(path)
        from safetensors import SafetensorError
        from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLForConditionalGeneration
        from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

        try:
            processor = Qwen3VLProcessor.from_pretrained(path)
            model = Qwen3VLForConditionalGeneration.from_pretrained(path, dtype=getattr(torch, dtype))
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            RuntimeError,
            SafetensorError,
        ) as error:  # whatever a damaged folder makes of transformers
            raise BadInputError(f"model folder {path} does not open as a Qwen3-VL: {error}") from error
        torch.backends.cudnn.allow_tf32 = False  # else its convolutions round float32 to ten bits, and float32 shall be float32
        return Solver(model.to(device).eval(), processor)

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self.model.parameters()).dtype
        return dtype

    def pack(self, images: Sequence[Image], prompts: Sequence[str], answers: Sequence[str]) -> Pack:
        """One scene's frames, and per question its prompt and its true answer, as `prompts` writes them."""
        return packing.pack(
            self._prefix(images),
            self._prompt_ids(prompts, len(images)),
            [[*self.tokenizer(answer, add_special_tokens=False).input_ids, self.end_id] for answer in answers],
        )

    def log_probabilities(self, *packs: Pack, through: nn.Module | None = None) -> list[Tensor]:
        """Per question of all packs, in order: log-probabilities of its answer tokens, end token last; (length,) float32.

        Differentiable. `through` is what the forward pass goes through where the model is wrapped (a DeepSpeed engine);
        None means the model itself.
        """
        logits = (through or self.model)(**packing.model_inputs(packs, self.dtype)).logits  # (K, V)
        targets = torch.cat([pack.targets for pack in packs])  # (K,)
        per_token = -nn.functional.cross_entropy(logits.float(), targets, reduction="none")  # (K,)
        return list(torch.split(per_token, [length for pack in packs for length in pack.lengths]))

    @torch.no_grad()
    def confidences(self, *packs: Pack) -> list[float]:
        """Per question: p = exp(mean log-probability of the answer's tokens), teacher-forced, the end token left out."""
        means = torch.stack([tokens[:-1].mean() for tokens in self.log_probabilities(*packs)])
        return [float(p) for p in means.exp().clamp(max=1.0)]

    @torch.inference_mode()
    def answer(self, images: Sequence[Image], prompts: Sequence[str], max_new_tokens: int = 16) -> list[str]:
        """Greedy replies to all questions at once.

        The prefix is computed once, and every step forwards one token per open question. All questions share one key-value
        cache, in which a block mask lets each see the prefix and its own tokens.
        """
        from transformers.cache_utils import DynamicCache

        if not prompts:
            return []
        prefix = self._prefix(images)
        cache = DynamicCache(config=self.model.config.get_text_config())
        self.model.model(
            input_ids=prefix.input_ids[None],
            position_ids=prefix.positions[:, None],
            pixel_values=prefix.pixel_values,
            image_grid_thw=prefix.image_grid_thw,
            past_key_values=cache,
            use_cache=True,
        )
        open_ids = dict(enumerate(self._prompt_ids(prompts, len(images))))  # question -> tokens not yet forwarded
        positions = dict.fromkeys(open_ids, prefix.next_position)
        replies: list[list[int]] = [[] for _ in prompts]
        columns = torch.full((1, len(prefix.input_ids)), packing.PREFIX, device=self.device)
        for _ in range(max_new_tokens):
            rows = torch.tensor([[q for q, ids in open_ids.items() for _ in ids]], device=self.device)  # (1, R)
            columns = torch.cat([columns, rows], dim=1)  # (1, C)
            ends = torch.tensor([len(ids) for ids in open_ids.values()], device=self.device).cumsum(0) - 1
            logits = self.model(
                input_ids=torch.tensor([[i for ids in open_ids.values() for i in ids]], device=self.device),
                position_ids=torch.tensor(
                    [[positions[q] + i for q, ids in open_ids.items() for i in range(len(ids))]], device=self.device
                ).expand(3, 1, -1),
                attention_mask=packing.block_mask(rows, columns, self.dtype),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=ends,
            ).logits[0]  # (open questions, V)
            said = dict(zip(open_ids, logits.argmax(-1).tolist(), strict=True))
            positions = {q: positions[q] + len(ids) for q, ids in open_ids.items()}
            open_ids = {q: [token] for q, token in said.items() if token != self.end_id}
            for q, (token,) in open_ids.items():
                replies[q].append(token)
            if not open_ids:
                break
        return [self.tokenizer.decode(reply, skip_special_tokens=True).strip() for reply in replies]

    def _prefix(self, images: Sequence[Image]) -> Prefix:
        if not images:
            raise ValueError("a scene without frames: there is nothing to see; give at least one image")
        head, _ = self._around_the_prompt(len(images))
        inputs = self.processor(text=[head], images=list(images), return_tensors="pt").to(self.device)
        positions, _ = self.model.model.get_rope_index(
            inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
        )
        return Prefix(inputs["input_ids"][0], positions[:, 0], inputs["pixel_values"], inputs["image_grid_thw"])

    def _prompt_ids(self, prompts: Sequence[str], images: int) -> list[list[int]]:
        _, tail = self._around_the_prompt(images)
        ids: list[list[int]] = self.tokenizer([prompt + tail for prompt in prompts], add_special_tokens=False).input_ids
        return ids

    def _render(self, images: int) -> tuple[str, str]:
        """The chat template's text before and after the prompt of a user who shows so many images.

        The cut follows the last image's closing token: tokenizers never merge across a special token, so both sides may be
        tokenized alone.
        """
        chat = messages([{"type": "image"}] * images, PLACE_OF_THE_PROMPT)
        text = self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        head, tail = text.split(PLACE_OF_THE_PROMPT)
        return head, tail


def check_folder(path: Path) -> None:
    """Raises BadInputError, one sentence, where the folder cannot be a model with its processor."""
    if not path.is_dir():
        raise BadInputError(f"model folder {path} does not exist; give a folder in Hugging Face layout")
    if not (path / "config.json").is_file():
        raise BadInputError(f"model folder {path} has no config.json; give a folder in Hugging Face layout")
    if not any(path.glob("*.safetensors")):
        raise BadInputError(f"model folder {path} has no weights (*.safetensors); give a folder in Hugging Face layout")
    processor = ("processor_config.json", "preprocessor_config.json")
    if not any((path / name).is_file() for name in processor) or not (path / "tokenizer_config.json").is_file():
        raise BadInputError(
            f"model folder {path} has no processor ({processor[1]}, tokenizer_config.json); save it beside the weights"
        )
