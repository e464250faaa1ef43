"""A vision-language model on this machine as a judge: any of transformers' image-text-to-text ones.

>>> judge = LocalJudge("Qwen/Qwen2.5-VL-7B-Instruct")  # a hub id, or a folder
>>> run_judge(judge, load_questions().values(), items, "results/klein-9b")

The same labelled pictures and question as Claude gets (Appendix E), through the model's own chat
template, answered greedily; what holds no verdict is a recorded failure.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from fluxlens.files import file_name
from fluxlens.judge.base import Request, Verdict
from fluxlens.judge.image_payload import opened
from fluxlens.judge.parse_reply import ReplyError, parse_reply
from fluxlens.references import prepare

__all__ = ["LocalJudge"]

MAX_TOKENS = 200  # of an answer, as the paper allows Claude


class LocalJudge:
    """Answers with a model from the hub or a folder: ``LocalJudge("results/judges/tiny")``.

    ``device`` is as torch names it; by default a GPU if there is one. `ValueError` for what is no
    such model. Questions are answered one at a time, whatever the concurrency.
    """

    def __init__(self, model: str, *, device: str | None = None, revision: str = "main") -> None:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            self.processor: Any = AutoProcessor.from_pretrained(model, revision=revision)
            self.model: Any = AutoModelForImageTextToText.from_pretrained(
                model, revision=revision, dtype="auto"
            )
        except (OSError, ValueError) as error:
            raise ValueError(f"{model} is no image-text-to-text model: {error}") from None
        if not getattr(self.processor, "chat_template", None):
            raise ValueError(f"{model} has no chat template, so it cannot be asked a question")
        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = self.model.to(where).eval()
        self.name = file_name(Path(model).name)
        self._lock = threading.Lock()

    def ask(self, request: Request) -> Verdict:
        """Answer one question; a reply that holds no verdict is a failure that quotes it."""
        with self._lock:
            text, read, written = self._generate(_messages(request))
        try:
            passed, reason = parse_reply(text.strip())
        except ReplyError as error:
            return Verdict(None, "", self.name, read, written, error=str(error))
        return Verdict(passed, reason, self.name, read, written)

    def _generate(self, messages: list[dict[str, Any]]) -> tuple[str, int, int]:
        """The reply, and how many tokens were read and written."""
        import torch

        inputs = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt",
        ).to(self.model.device)  # fmt: skip
        for name, value in inputs.items():
            if torch.is_floating_point(value):
                inputs[name] = value.to(self.model.dtype)
        with torch.inference_mode():
            tokens = self.model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        read = int(inputs["input_ids"].shape[1])
        text = self.processor.decode(tokens[0, read:], skip_special_tokens=True)
        return str(text), read, int(tokens.shape[1]) - read


def _messages(request: Request) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for label, picture in request.labelled():
        content.append({"type": "text", "text": label})
        content.append({"type": "image", "image": prepare(opened(picture))})
    content.append({"type": "text", "text": request.question.text})
    system = [{"type": "text", "text": request.question.system}]
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]
