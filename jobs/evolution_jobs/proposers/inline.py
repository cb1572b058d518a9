"""Speaks to a model that this program loads itself, through transformers: the proposer `inline`.

Used by `generate.py`, and by `serve` for the proposer `serving`. Any image-text model with a chat template will do; one
request at a time, on the device that the run asks for. Nothing forces its replies into the schema: the prompt asks for it,
and the reader takes what it can.
"""

from pathlib import Path
from typing import Any

from evolution_api.jobs import StageInput
from evolution_jobs.model.prompts import messages
from evolution_jobs.program import BadInputError
from evolution_jobs.proposers.speaker import Prompt, Reply, Usage


def load_inline(job: StageInput, uri: str | None) -> "InlineModel":
    """The proposer's weights at `uri`, or those of the base model; raises BadInputError where they are no chat model."""
    from evolution_jobs.model.weights import fetch
    from evolution_jobs.solver_loading import device_of

    base = job.spec.model
    uri, revision = (uri, None) if uri else (base.uri, base.revision)
    return InlineModel(fetch(uri, revision, job.spec.storage.endpoint), uri, base.dtype, device_of(job))


class InlineModel:
    concurrency = 1

    def __init__(self, folder: Path, name: str, dtype: str, device: str) -> None:
        """`folder` holds weights and processor in Hugging Face layout. Raises BadInputError where it cannot chat."""
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.name = name
        self.usage = Usage()
        self.torch = torch
        self.processor = AutoProcessor.from_pretrained(folder)
        if self.processor.chat_template is None:
            raise BadInputError(
                f"generation.proposer: the processor of {name} has no chat template, so it cannot be given a prompt; "
                "set the proposer's uri to a chat model, or use the grammar proposer"
            )
        torch.backends.cudnn.allow_tf32 = False  # as the solver: float32 is float32
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=getattr(torch, dtype))
        self.model = model.to(device).eval()

    async def say(
        self,
        prompt: Prompt,
        *,
        max_tokens: int,
        temperature: float,
        seed: int,
        schema: dict[str, Any],  # noqa: ARG002 - the prompt's text holds it
    ) -> Reply:
        """Blocks while the model writes: there is only one."""
        self.usage.calls += 1
        reply = self.write(chat_of(prompt), max_tokens=max_tokens, temperature=temperature, seed=seed)
        self.usage.add(reply)
        return reply

    def write(self, chat: list[dict[str, Any]], *, max_tokens: int, temperature: float, seed: int) -> Reply:
        """The reply to a chat with its images in place, as the processor's template takes it."""
        inputs = self.processor.apply_chat_template(
            chat,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.model.device)
        sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
        self.torch.manual_seed(seed)
        with self.torch.inference_mode():
            tokens = self.model.generate(**inputs, max_new_tokens=max_tokens, **sampling)
        asked = inputs["input_ids"].shape[1]
        written = tokens[0, asked:]
        text = self.processor.tokenizer.decode(written, skip_special_tokens=True)
        return Reply(text=text, tokens_in=asked, tokens_out=len(written))


def chat_of(prompt: Prompt) -> list[dict[str, Any]]:
    """The chat with its images in place, for a processor that takes them there."""
    return messages(({"type": "image", "image": image} for image in prompt.images), prompt.text)
