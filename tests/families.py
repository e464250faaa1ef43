"""Tiny random pipelines of every family of in-context editors, with all their components.

Each is a stock class of diffusers with stock components, float32, a few thousand weights, no
network. ``FAMILIES["dev"].build(seed)`` makes one, ``save`` writes it as the hub lays one out,
``load`` reads it back through the stock class, and ``call`` runs it at its small size.

What stands in for what this environment lacks: PixtralProcessor and Qwen2VLProcessor both want
torchvision. The first is replaced by its tokenizer, the second by `Processor`, which does for
pictures and text what the pipelines ask of it and no more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tiny
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
)
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BatchFeature,
    CLIPTextConfig,
    CLIPTextModel,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

BLOCKS = {"num_layers": 2, "num_single_layers": 3}
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
LATENTS = 4
WORDS = "draw a mug in this color"  # one token each; every other word falls apart into bytes
QWEN_DROP = 64  # tokens of the system message that the stock pipelines cut off


# ---------------------------------------------------------------- tokenizers


def words(*texts: str) -> list[str]:
    """List what byte-level pre-tokenization makes of some texts, each piece once."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    return list(dict.fromkeys(piece for text in texts for piece, _ in split(text)))


def byte_level(
    specials: Sequence[str], *texts: str, after: str = "$A", **kwargs: Any
) -> PreTrainedTokenizerFast:
    """Make a byte-level BPE that knows the words of some texts whole and spells all others.

    ``after`` is what it puts around a text, e.g. ``"$A </s>"``.
    """
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *words(*texts)]
    vocab = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(list(specials))
    used = [s for s in specials if s in after.split()]
    tok.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=after, special_tokens=[(s, tok.token_to_id(s)) for s in used]
            ),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tok, **kwargs)


# ---------------------------------------------------------------- parts that families share


def scheduler(**more: Any) -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, **more)


def louder(module: torch.nn.Module, by: float = 2.0) -> torch.nn.Module:
    """Scale a random network's matrices and kernels, so that every edge carries something."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(by)
    return module.eval()


def flux2_vae() -> AutoencoderKLFlux2:
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=2,
        mid_block_add_attention=False,
    )
    vae.bn.running_mean.copy_(torch.randn(4 * LATENTS) * 0.1)
    vae.bn.running_var.copy_(torch.rand(4 * LATENTS) * 0.5 + 0.5)
    return vae.eval()


def quiet(pipe: DiffusionPipeline) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


# ---------------------------------------------------------------- the families


def klein(seed: int = 0) -> Flux2KleinPipeline:
    """FLUX.2 klein, step-distilled: one forward a step."""
    return tiny.build(tiny.Shape(seed=seed))


def klein_base(seed: int = 0) -> Flux2KleinPipeline:
    """FLUX.2 klein base: true guidance against the empty prompt, two forwards a step."""
    return tiny.build(tiny.Shape(seed=seed, distilled=False))


def dev_tokenizer(padding_side: str) -> PreTrainedTokenizerFast:
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

    specials = ["<s>", "</s>", "<pad>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    tok = byte_level(
        [*specials, "[IMG]"],
        SYSTEM_MESSAGE,
        WORDS,
        after="<s> $A",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        padding_side=padding_side,
        model_max_length=512,
    )
    tok.chat_template = (
        "{{- '<s>' }}{%- for message in messages %}"
        "{%- set tag = 'SYSTEM_PROMPT' if message.role == 'system' else 'INST' %}"
        "{{- '[' + tag + ']' }}"
        "{%- for part in message.content %}{{- part.text }}{%- endfor %}"
        "{{- '[/' + tag + ']' }}{%- endfor %}"
    )
    return tok


def dev(seed: int = 0, padding_side: str = "right") -> Flux2Pipeline:
    """FLUX.2 dev: guidance embedded, Mistral's text with a system message."""
    torch.manual_seed(seed)
    tok = dev_tokenizer(padding_side)
    text_encoder = Mistral3ForConditionalGeneration(
        Mistral3Config(
            text_config={
                "model_type": "mistral",
                "vocab_size": len(tok),
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "head_dim": 8,
                "max_position_embeddings": 512,
                "initializer_range": 0.5,
                "pad_token_id": tok.pad_token_id,
            },
            vision_config={
                "model_type": "pixtral",
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
                "head_dim": 8,
            },
            image_token_index=tok.convert_tokens_to_ids("[IMG]"),
        )
    )
    transformer = Flux2Transformer2DModel(
        in_channels=4 * LATENTS,
        joint_attention_dim=3 * 16,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=True,
        **BLOCKS,
        **HEADS,
    )
    return quiet(
        Flux2Pipeline(
            scheduler=scheduler(),
            vae=flux2_vae(),
            text_encoder=text_encoder.eval(),
            tokenizer=tok,
            transformer=louder(transformer),
        )
    )


def dev_left(seed: int = 0) -> Flux2Pipeline:
    """FLUX.2 dev, its pads standing on the left of the text."""
    return dev(seed, "left")


def kontext(seed: int = 0) -> FluxKontextPipeline:
    """FLUX.1 Kontext: T5's rows, CLIP's pooled text, one reference."""
    torch.manual_seed(seed)
    clip = byte_level(
        ["<|startoftext|>", "<|endoftext|>"],
        WORDS,
        after="<|startoftext|> $A <|endoftext|>",
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=77,
    )
    t5 = byte_level(
        ["<pad>", "</s>"],
        WORDS,
        after="$A </s>",
        pad_token="<pad>",
        eos_token="</s>",
        model_max_length=512,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(clip),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=16,
            initializer_range=0.5,
            bos_token_id=clip.bos_token_id,
            eos_token_id=clip.eos_token_id,
            pad_token_id=clip.pad_token_id,
        )
    )
    text_encoder_2 = T5EncoderModel(
        T5Config(
            vocab_size=len(t5),
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            relative_attention_num_buckets=8,
            feed_forward_proj="gated-gelu",
            pad_token_id=t5.pad_token_id,
            eos_token_id=t5.eos_token_id,
        )
    )
    transformer = FluxTransformer2DModel(
        in_channels=4 * LATENTS,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
        **BLOCKS,
        **HEADS,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        latent_channels=LATENTS,
        norm_num_groups=2,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=0.36,
        shift_factor=0.12,
    )
    return quiet(
        FluxKontextPipeline(
            scheduler=scheduler(shift=3.0),
            vae=vae.eval(),
            text_encoder=text_encoder.eval(),
            tokenizer=clip,
            text_encoder_2=text_encoder_2.eval(),
            tokenizer_2=t5,
            transformer=louder(transformer),
        )
    )


class Processor(ProcessorMixin):
    """Prepares pictures and text for Qwen2.5-VL, as Qwen2VLProcessor does without torchvision."""

    def __init__(self, image_processor: Qwen2VLImageProcessorPil, tokenizer: Any) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.image_token = "<|image_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)

    def __call__(
        self, text: list[str], images: Any = None, padding: bool = True, return_tensors: str = "pt"
    ) -> BatchFeature:
        """Tokenize texts, each ``<|image_pad|>`` repeated for every merged patch of its picture."""
        pictures = {}
        counts: list[int] = []
        if images is not None:
            pictures = dict(self.image_processor(images=images, return_tensors=return_tensors))
            merged = self.image_processor.merge_size**2
            counts = [int(grid.prod()) // merged for grid in pictures["image_grid_thw"]]
        filled = []
        for one in text:
            first, *rest = one.split(self.image_token)
            for piece in rest:
                first += self.image_token * counts.pop(0) + piece
            filled.append(first)
        if counts:
            raise ValueError(f"{len(counts)} pictures more than places for them in the text")
        tokens = self.tokenizer(filled, padding=padding, return_tensors=return_tensors)
        return BatchFeature({**tokens, **pictures})

    def save_pretrained(self, folder: Path) -> None:
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> Processor:
        return cls(
            Qwen2VLImageProcessorPil.from_pretrained(folder),
            PreTrainedTokenizerFast.from_pretrained(folder),
        )


def qwen(cls: Any, seed: int, **transformer_config: Any) -> Any:
    torch.manual_seed(seed)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>"]
    specials += ["<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    template = cls(None, None, None, None, None, None).prompt_template_encode
    plain = template
    for special in specials:
        plain = plain.replace(special, "\0")
    tok = byte_level(
        specials,
        *plain.split("\0"),
        "Picture 1: 2",
        WORDS,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
    )
    ids = {special.strip("<|>"): tok.convert_tokens_to_ids(special) for special in specials}
    text_encoder = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": len(tok),
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "max_position_embeddings": 1024,
                "max_window_layers": 2,
                "initializer_range": 0.5,
                "bos_token_id": ids["endoftext"],
                "eos_token_id": ids["im_end"],
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [1, 1, 2],
                },
            },
            vision_config={
                "depth": 2,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_heads": 2,
                "out_hidden_size": 16,
                "fullatt_block_indexes": [1],
                "initializer_range": 0.2,
            },
            image_token_id=ids["image_pad"],
            video_token_id=ids["video_pad"],
            vision_start_token_id=ids["vision_start"],
            vision_end_token_id=ids["vision_end"],
        )
    )
    transformer = QwenImageTransformer2DModel(
        in_channels=4 * LATENTS,
        out_channels=LATENTS,
        num_layers=3,
        joint_attention_dim=16,
        axes_dims_rope=(4, 6, 6),
        **HEADS,
        **transformer_config,
    )
    # The pipelines encode every reference at a megapixel: five levels make it 16×16 tokens.
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=LATENTS,
        dim_mult=[1] * 6,
        num_res_blocks=0,
        temperal_downsample=[False] * 5,
        latents_mean=[0.1, -0.1, 0.2, 0.0],
        latents_std=[0.5, 0.6, 0.7, 0.8],
    )
    pictures = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    return quiet(
        cls(
            scheduler=scheduler(),
            vae=louder(vae, 1.8),
            text_encoder=text_encoder.eval(),
            tokenizer=tok,
            processor=Processor(pictures, tok),
            transformer=louder(transformer, 3.0),
        )
    )


def qwen_edit(seed: int = 0) -> QwenImageEditPipeline:
    """Qwen-Image-Edit: one reference, read by the text encoder too; true guidance."""
    return qwen(QwenImageEditPipeline, seed)


def qwen_edit_plus(seed: int = 0) -> QwenImageEditPlusPipeline:
    """Qwen-Image-Edit of several references, modulated at time zero (``zero_cond_t``)."""
    return qwen(QwenImageEditPlusPipeline, seed, zero_cond_t=True)


@dataclass(frozen=True)
class Family:
    """One tiny family: how to build it, and what a call of it needs at this size."""

    build: Callable[[int], Any]
    stock: type[DiffusionPipeline]
    size: tuple[int, int] = (64, 96)  # height, width of a small output, in pixels
    references: int = 2  # the most one call takes
    generates: bool = True  # whether the class runs without a reference
    passes: tuple[str, ...] = ("cond",)  # forwards of one step, in order
    call: dict[str, Any] = field(default_factory=dict)  # what else to pass


GUIDED = ("cond", "uncond")
KLEIN_CALL = {"text_encoder_out_layers": (1, 2), "max_sequence_length": 40}
DEV_CALL = {"text_encoder_out_layers": (1, 2, 3), "max_sequence_length": 64}
QWEN_CALL = {"negative_prompt": " ", "true_cfg_scale": 3.0}

FAMILIES: dict[str, Family] = {
    "klein": Family(klein, Flux2KleinPipeline, call={**KLEIN_CALL, "guidance_scale": 1.0}),
    "klein-base": Family(
        klein_base, Flux2KleinPipeline, passes=GUIDED, call={**KLEIN_CALL, "guidance_scale": 3.0}
    ),
    "dev": Family(dev, Flux2Pipeline, call=DEV_CALL),
    "dev-left": Family(dev_left, Flux2Pipeline, call=DEV_CALL),
    "kontext": Family(
        kontext,
        FluxKontextPipeline,
        references=1,
        call={"max_sequence_length": 40, "_auto_resize": False},
    ),
    "qwen-edit": Family(
        qwen_edit,
        QwenImageEditPipeline,
        (128, 192),
        references=1,
        generates=False,
        passes=GUIDED,
        call=QWEN_CALL,
    ),
    "qwen-edit-plus": Family(
        qwen_edit_plus,
        QwenImageEditPlusPipeline,
        (128, 192),
        generates=False,
        passes=GUIDED,
        call=QWEN_CALL,
    ),
}


# ---------------------------------------------------------------- on disk, and running them


def save(folder: Path, family: str, seed: int = 0) -> Path:
    """Save a tiny pipeline as the hub lays one out."""
    pipe = FAMILIES[family].build(seed)
    parts = pipe.components
    index = folder / "model_index.json"
    if "processor" in parts:
        # only transformers' own class can be named there, and it wants torchvision
        pipe.register_modules(processor=None)
    pipe.save_pretrained(folder, safe_serialization=True)
    if "processor" in parts:
        parts["processor"].save_pretrained(folder / "processor")
        facts = json.loads(index.read_text())
        facts["processor"] = ["transformers", "Qwen2VLProcessor"]
        index.write_text(json.dumps(facts, indent=2))
    return folder


def load(folder: Path, family: str) -> Any:
    """Load a saved tiny pipeline through the stock class."""
    processor = folder / "processor"
    parts = {"processor": Processor.from_pretrained(processor)} if processor.is_dir() else {}
    return quiet(FAMILIES[family].stock.from_pretrained(folder, **parts))


def call(
    family: str,
    pipe: Any,
    prompt: str | list[str],
    refs: Sequence[Image.Image] = (),
    *,
    seed: int = 0,
    steps: int = 2,
    size: tuple[int, int] | None = None,
    **more: Any,
) -> Any:
    """Call a stock pipeline at its small size, and return what it returns.

    ``size`` is (height, width) in pixels; ``more`` goes to the pipeline and wins over the rest.
    """
    height, width = size or FAMILIES[family].size
    kwargs = {**FAMILIES[family].call, "height": height, "width": width}
    if family == "kontext":
        kwargs["max_area"] = height * width
    if refs:
        kwargs["image"] = list(refs) if len(refs) > 1 else refs[0]
    kwargs["generator"] = torch.Generator().manual_seed(seed)
    return pipe(prompt=prompt, num_inference_steps=steps, **{**kwargs, **more})
