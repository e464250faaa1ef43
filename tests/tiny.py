"""Tiny random FLUX.2 pipelines of the stock classes, saved in the hub's format."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers import pre_tokenizers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}{%- endif %}"
)


@dataclass(frozen=True)
class Shape:
    """What a tiny pipeline looks like; text blocks, image blocks and widths are all tiny."""

    double: int = 2
    single: int = 3
    heads: int = 2
    head_dim: int = 16
    rope: tuple[int, ...] = (4, 4, 4, 4)
    text_layers: tuple[int, ...] = (1, 2)
    text_width: int = 16
    latents: int = 4
    length: int = 40
    dynamic: bool = True
    distilled: bool = True
    seed: int = 0
    extra: dict = field(default_factory=dict, hash=False, compare=False)


def tokenizer() -> Qwen2TokenizerFast:
    """A byte-level BPE of Qwen2's class: bytes, a few merges, Qwen's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {char: i for i, char in enumerate(alphabet)}
    merges = []
    for word in ["user", "assistant", "ĊĊ", "draw", "Ġmug", "Ġcolor"]:
        for end in range(2, len(word) + 1):
            pair = word[: end - 1], word[end - 1]
            if "".join(pair) not in vocab:
                merges.append(pair)
                vocab["".join(pair)] = len(vocab)
    for token in SPECIALS:
        vocab[token] = len(vocab)
    tok = Qwen2TokenizerFast(
        vocab=vocab, merges=merges, additional_special_tokens=SPECIALS[1:3], padding_side="right"
    )
    tok.add_special_tokens({"additional_special_tokens": SPECIALS[1:3]})
    tok.add_tokens(SPECIALS[3:])
    tok.chat_template = TEMPLATE
    return tok


def build(shape: Shape = Shape()) -> Flux2KleinPipeline:
    """A random pipeline; the same shape and seed give the same weights."""
    torch.manual_seed(shape.seed)
    tok = tokenizer()
    text_encoder = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tok) + 3,
            hidden_size=shape.text_width,
            intermediate_size=32,
            num_hidden_layers=max(shape.text_layers),
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            max_position_embeddings=512,
            initializer_range=0.5,
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=4 * shape.latents,
        num_layers=shape.double,
        num_single_layers=shape.single,
        attention_head_dim=shape.head_dim,
        num_attention_heads=shape.heads,
        joint_attention_dim=shape.text_width * len(shape.text_layers),
        timestep_guidance_channels=32,
        axes_dims_rope=shape.rope,
        guidance_embeds=False,
    )
    levels = 4
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(4,) * levels,
        layers_per_block=1,
        latent_channels=shape.latents,
        norm_num_groups=2,
        mid_block_add_attention=False,
    )
    vae.bn.running_mean.copy_(torch.randn(4 * shape.latents) * 0.1)
    vae.bn.running_var.copy_(torch.rand(4 * shape.latents) * 0.5 + 0.5)
    # random output layers start near zero: louder weights make every route carry something
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=2.0, use_dynamic_shifting=shape.dynamic, time_shift_type="exponential"
    )
    pipe = Flux2KleinPipeline(
        scheduler=scheduler,
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tok,
        transformer=transformer.eval(),
        is_distilled=shape.distilled,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save(folder: Path, shape: Shape = Shape()) -> Path:
    """Save a tiny pipeline with its `fluxlens.json`, as a shipped model's folder looks."""
    build(shape).save_pretrained(folder, safe_serialization=True)
    facts = {
        "name": f"tiny-{shape.double}-{shape.single}",
        "wiring": "random",
        "max_sequence_length": shape.length,
        "text_layers": list(shape.text_layers),
        "default_size": 96,
        **shape.extra,
    }
    (folder / "fluxlens.json").write_text(json.dumps(facts))
    return folder
