"""A Qwen3-VL of about two million parameters with its processor: real architecture and real processor, tiny in every number.

Pre-training starts from it, and tests use it with random weights. It opens with `AutoProcessor` and `AutoModelForImageTextToText`
without remote code. Nothing here knows rooms or questions; the words are those of `vocabulary`.
"""

from pathlib import Path
from typing import Any

from evolution_jobs.tiny.vocabulary import WORDS

FRAME_PX = 64
PATCH_PX = 8
MERGE = 2
"""Patches per side that the vision tower merges into one visual token: 16 visual tokens a frame."""

INITIALIZER_RANGE = 0.07
"""About 1 / sqrt(hidden size); the architecture's own 0.02 is meant for layers twenty times as wide."""

SPECIAL = (
    "<|endoftext|>",
    "<|unknown|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'text' -%}
{{- part.text -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def tokenizer() -> Any:
    """Word level: lower case, digits one by one, punctuation alone, hyphenated words whole."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    words = Tokenizer(models.WordLevel(vocab=ids, unk_token="<|unknown|>"))  # noqa: S106 - a token of text
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"m2|[a-z]+(?:-[a-z]+)*|\S"), "isolated")]
    )
    # A word brings the space before it, so that digits and points join into numbers again: "1", ".", "5", "m" -> "1.5 m".
    words.decoder = decoders.Sequence([decoders.Replace(Regex(r"^(?=[a-z])"), " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<|unknown|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
        eos_token="<|im_end|>",  # noqa: S106
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=32_768,
        clean_up_tokenization_spaces=False,
    )


def processor() -> Any:
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
    from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    area = {"shortest_edge": FRAME_PX**2, "longest_edge": FRAME_PX**2}
    normal = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    patches = {"patch_size": PATCH_PX, "temporal_patch_size": 2, "merge_size": MERGE}
    return Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=area, **patches, **normal),
        tokenizer=tokenizer(),
        video_processor=Qwen3VLVideoProcessor(size=area, **patches, **normal),
        chat_template=CHAT_TEMPLATE,
    )


def model(seed: int = 0) -> Any:
    """Random weights, float32; a function of the seed."""
    import torch
    from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLConfig
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLForConditionalGeneration

    ids = {word: i for i, word in enumerate((*SPECIAL, *WORDS))}
    config = Qwen3VLConfig(
        vision_config={
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_heads": 4,
            "patch_size": PATCH_PX,
            "temporal_patch_size": 2,
            "spatial_merge_size": MERGE,
            "out_hidden_size": 128,
            "num_position_embeddings": (FRAME_PX // PATCH_PX) ** 2,
            "deepstack_visual_indexes": [1],
            "initializer_range": INITIALIZER_RANGE,
        },
        text_config={
            "vocab_size": len(ids),
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 32,
            "initializer_range": INITIALIZER_RANGE,
            "max_position_embeddings": 32_768,
            "tie_word_embeddings": True,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10_000.0,
                "mrope_section": [6, 5, 5],
                "mrope_interleaved": True,
            },
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Qwen3VLForConditionalGeneration(config)
    made.generation_config.eos_token_id = ids["<|im_end|>"]
    made.generation_config.pad_token_id = ids["<|endoftext|>"]
    return made


def build(path: Path, seed: int = 0) -> None:
    """Write a randomly initialised tiny model and its processor in Hugging Face layout to the folder `path`."""
    model(seed).save_pretrained(path)
    processor().save_pretrained(path)
