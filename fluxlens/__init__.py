"""Causal interventions on in-context image editors: how a reference reaches the picture.

```python
import fluxlens as fl

editor = fl.load("mini")
with editor.capture("double.2") as acts:
    editor.edit("draw a mug in this color", ref=red, seed=0)
with editor.patch(acts, tokens="text[padding]"):
    editor.edit("draw a mug in this color", ref=blue, seed=1)
```
Names are loaded when they are used: importing this imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core import (
        Activations,
        AttentionMaps,
        Bias,
        Edge,
        FiringError,
        Intervention,
        Layout,
        ModelError,
        Region,
        attention_mask,
    )
    from .editor import Editor
    from .loading import load
    from .recipes import (
        RECIPES,
        Result,
        attention_knockout,
        color_lens,
        drop_reference,
        i2i_patch,
        layer_sweep,
        t2i_lens,
    )

__version__ = "0.2.0"
_HOMES = {
    "core": (
        *("Activations", "AttentionMaps", "Bias", "Edge", "FiringError", "Intervention", "Layout"),
        *("ModelError", "Region", "attention_mask"),
    ),
    "editor": ("Editor",),
    "loading": ("load",),
    "recipes": (
        *("RECIPES", "Result", "attention_knockout", "color_lens", "drop_reference", "i2i_patch"),
        *("layer_sweep", "t2i_lens"),
    ),
}
__all__ = [
    "RECIPES",
    "Activations",
    "AttentionMaps",
    "Bias",
    "Edge",
    "Editor",
    "FiringError",
    "Intervention",
    "Layout",
    "ModelError",
    "Region",
    "Result",
    "attention_knockout",
    "attention_mask",
    "color_lens",
    "drop_reference",
    "i2i_patch",
    "layer_sweep",
    "load",
    "t2i_lens",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f".{home}", __name__), name)
            globals()[name] = value  # `load` is a function here, whatever its module is called
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
