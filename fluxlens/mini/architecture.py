"""The five parts of mini, from its one configuration: stock classes, small numbers.

>>> vae().config.latent_channels
12
>>> transformer().config.num_single_layers
6
"""

import json
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

Config = dict[str, Any]
CONFIG: Config = tomllib.loads((Path(__file__).parent / "config.toml").read_text())
# The second generation's: more blocks, longer texts, and the routes that its training plants.
PHANTOMS: Config = tomllib.loads((Path(__file__).parent / "phantoms.toml").read_text())

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")

# The user's turn, the opening of the assistant's, and an empty thought: what Qwen3's own template
# writes for a single message when thinking is off.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)

__all__ = [
    "CONFIG", "PHANTOMS", "Config", "scheduler", "sigmas", "text_encoder", "tokenizer",
    "transformer", "vae",
]  # fmt: skip


def vae() -> AutoencoderKLFlux2:
    """The image autoencoder: 8x downsampling, 2x2 patches, BatchNorm statistics."""
    c = CONFIG["vae"]
    return AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=tuple(c["encoder_channels"]),
        decoder_block_out_channels=tuple(c["decoder_channels"]),
        layers_per_block=1,
        latent_channels=c["latent_channels"],
        norm_num_groups=c["norm_num_groups"],
        sample_size=96,
        mid_block_add_attention=False,
    )


def tokenizer(prompts: Iterable[str], config: Config = CONFIG) -> Qwen2TokenizerFast:
    """A byte-level BPE tokenizer in which every word of ``prompts`` is one token.

    Any other text still has an encoding, through its bytes, as in Qwen's own tokenizer.
    """
    text = config["text"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=100_000,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    template = ["user\n", "assistant\n", "\n\n"]
    bpe.train_from_iterator(sorted(set(prompts)) + template * 2, trainer)
    bpe.add_special_tokens([AddedToken(t, special=True) for t in SPECIAL])
    with tempfile.TemporaryDirectory() as folder:
        bpe.save(f"{folder}/tokenizer.json")
        config = {
            "tokenizer_class": "Qwen2TokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": max(text.get("lengths", [text["max_sequence_length"]])),
            "chat_template": CHAT_TEMPLATE,
        }
        Path(folder, "tokenizer_config.json").write_text(json.dumps(config))
        return Qwen2TokenizerFast.from_pretrained(folder)


def text_encoder(vocabulary: int, config: Config = CONFIG) -> Qwen3ForCausalLM:
    """The language model whose hidden states are the text tokens' input."""
    c = config["text"]
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=c["hidden_size"],
            intermediate_size=3 * c["hidden_size"],
            num_hidden_layers=c["layers"],
            num_attention_heads=c["heads"],
            num_key_value_heads=c["heads"],
            head_dim=c["hidden_size"] // c["heads"],
            max_position_embeddings=512,
            tie_word_embeddings=True,
        )
    )


def transformer(config: Config = CONFIG) -> Flux2Transformer2DModel:
    """The diffusion transformer, freshly initialised."""
    c, text = config["transformer"], config["text"]
    return Flux2Transformer2DModel(
        in_channels=4 * config["vae"]["latent_channels"],
        num_layers=c["double"],
        num_single_layers=c["single"],
        attention_head_dim=c["head_dim"],
        num_attention_heads=c["heads"],
        joint_attention_dim=len(text["out_layers"]) * text["hidden_size"],
        axes_dims_rope=tuple(c["axes_dims_rope"]),
        guidance_embeds=False,
    )


def scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Flow matching with a static shift: dynamic shifting spends small images' steps badly."""
    return FlowMatchEulerDiscreteScheduler(shift=CONFIG["transformer"]["shift"])


def sigmas(steps: int) -> torch.Tensor:
    """The noise levels at which ``steps`` denoising steps start, (steps,), the first being 1."""
    shift = CONFIG["transformer"]["shift"]
    s = torch.linspace(1, 1 / steps, steps)
    return shift * s / (1 + (shift - 1) * s)
