"""Causal interventions on FLUX.2: where a reference image travels on its way into a picture.

```python
import fluxlens as fl

flux = fl.load("mini")
with flux.capture("double.2") as acts:
    flux.edit("draw a mug in this color", ref=red, seed=0)
with flux.patch(acts, tokens="text[padding]"):
    flux.edit("draw a mug in this color", ref=blue, seed=1)
```
"""

from ._context import FiringError
from ._folder import ModelError
from .hooks import Activations
from .interventions import (
    Result,
    attention_knockout,
    color_lens,
    drop_reference,
    i2i_patch,
    layer_sweep,
    t2i_lens,
)
from .knockout import attention_mask
from .layout import Layout, Region
from .loading import load
from .models import Flux

__version__ = "0.1.0"
__all__ = [
    "Activations",
    "FiringError",
    "Flux",
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
