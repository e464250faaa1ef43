"""Take the references out of the sequence.

Context: Appendix B severs the reference behind a block. Details: what nothing reads any more is not
carried on: from that block its rows leave the hidden states, the rotary embeddings and any mask.
Intuition: the rest of the forward costs what a generation costs, and its picture is the same.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._context import Context, Run


class Drop(Context):
    """Context manager under which `blocks`, up to the last, run without reference rows."""

    kind = "drop"
    apart = True

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        return {**super().to_json(row), "tokens": "ref"}

    def prepare(self, run: Run, local: list[int]) -> None:
        self._kept, _ = run.layout.span("ref")
        if len(local) < run.layout.rows:
            raise ValueError(
                "the references of some rows of a batch cannot be dropped alone, for rows of a "
                "batch are of one length: use flux.edit, which runs such rows apart"
            )
        for context in self.flux.watch.contexts:
            region = getattr(context, "region", None)
            late = [block for block in context.blocks if block in self.blocks]
            if region is not None and region.kind == "ref" and late:
                raise ValueError(f"{region} is not there at {late[0]}: it was dropped before")

    def attach(self, block: str) -> Any:
        def shorten(module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            if not self.due():
                return None
            text = kwargs["encoder_hidden_states"]
            rows = self._kept - (0 if text is None else text.shape[1])
            changed: dict[str, Any] = {
                "hidden_states": kwargs["hidden_states"][:, :rows],
                "image_rotary_emb": tuple(r[: self._kept] for r in kwargs["image_rotary_emb"]),
            }
            joint = kwargs.get("joint_attention_kwargs") or {}
            mask = joint.get("attention_mask")
            if isinstance(mask, Tensor):
                mask = mask[..., : self._kept]
                mask = mask if mask.ndim == 2 else mask[..., : self._kept, :]
                changed["joint_attention_kwargs"] = {**joint, "attention_mask": mask}
            self.count(block)
            return args, {**kwargs, **changed}

        # first of all hooks: whoever cuts or reads this block sees the sequence as it is now
        return self.flux.module(block).register_forward_pre_hook(
            shorten, prepend=True, with_kwargs=True
        )
