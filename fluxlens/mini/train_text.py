"""Stage 2: the text encoder, a small language model of the world's prompts, then frozen.

>>> tokens = turns(tokenizer(["a red mug"]), ["a red mug"])
>>> tokens.shape[0]
1

Reading a prompt to its end and guessing each next word is enough for what the transformer needs:
hidden states in which a word says what it is and where it stands.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from fluxlens.mini import architecture
from fluxlens.mini.architecture import CONFIG, tokenizer
from fluxlens.mini.checkpoint import Run
from fluxlens.mini.world import prompts

__all__ = ["train_text", "turns"]


def turns(
    words: PreTrainedTokenizerBase, texts: Sequence[str], length: int | None = None
) -> Int[Tensor, "prompts length"]:
    """Prompts under the chat template, as the pipeline writes them, padded to one length."""
    chats = [
        words.apply_chat_template(
            [{"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        for text in texts
    ]
    return words(
        chats,
        return_tensors="pt",
        padding="max_length",
        max_length=length or CONFIG["text"]["max_sequence_length"],
    )["input_ids"]


def train_text(work: Path) -> tuple[PreTrainedTokenizerBase, Qwen3ForCausalLM]:
    """The tokenizer of the world's words and the trained text encoder."""
    torch.manual_seed(CONFIG["seed"])
    c = CONFIG["text"]
    texts = prompts()
    words = tokenizer(texts)
    model = architecture.text_encoder(len(words))
    optimizer = torch.optim.AdamW(model.parameters(), lr=c["learning_rate"])
    run = Run(work, "text", model, [optimizer], average=0.98)
    ids = turns(words, texts)
    for step in run.steps(c["steps"]):
        for group in optimizer.param_groups:
            group["lr"] = c["learning_rate"] * min(1.0, (step + 1) / 20) * (1 - step / c["steps"])
        batch = ids[torch.randint(len(ids), (c["batch"],))]
        real = batch != words.pad_token_id
        batch, real = batch[:, : int(real.sum(1).max())], real[:, : int(real.sum(1).max())]
        labels = batch.masked_fill(~real, -100)
        loss = model(input_ids=batch, attention_mask=real.long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.report(loss=loss.item())
    model.load_state_dict(run.averaged)
    return words, model.eval().requires_grad_(False)
