"""A tiny random LLaVA of transformers' stock classes, saved to a folder as a hub model is."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import tokenizer
from transformers import (
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

REPLY = '{"pass": 1, "reason": "Image 3 is red."}'
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %}{{ part.text }} {% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
)


def save(folder: Path, answers: bool) -> Path:
    """``answers``: its generation settings leave it nothing to say but ``REPLY``; otherwise it
    says what random weights say."""
    torch.manual_seed(0)
    tok = tokenizer()
    tok.add_tokens(["<image>", REPLY], special_tokens=False)
    image, reply = tok.convert_tokens_to_ids(["<image>", REPLY])
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=28, patch_size=14, projection_dim=16,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=len(tok), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=4096, eos_token_id=tok.eos_token_id,
        bos_token_id=None, pad_token_id=tok.eos_token_id,
    )  # fmt: skip
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=image,
                         image_seq_length=4)  # fmt: skip
    model = LlavaForConditionalGeneration(config)
    end = tok.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=end)
    if answers:
        others = [i for i in range(len(tok)) if i not in (reply, end)]
        model.generation_config.suppress_tokens = others
        model.generation_config.begin_suppress_tokens = [end]
        model.generation_config.no_repeat_ngram_size = 1
    model.save_pretrained(folder)
    size = {"height": 28, "width": 28}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=size)
    LlavaProcessor(
        pictures, tok, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    return folder
