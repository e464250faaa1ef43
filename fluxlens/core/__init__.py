"""The instruments. Names no pipeline; read this room and you have read it all.

`model` (a pipeline and its blocks), `layout` (regions and where they lie), `intervention` (the
base of all that follows), `patching` (rows: capture, patch, apply), `seam` and `attention` (edges:
cut, gain, read; the reference dropped).
"""

from fluxlens.errors import FiringError, ModelError

from .attention import AttentionMaps, Cut, Drop, Gain, Read
from .intervention import Intervention, Run, Watch, as_numbers
from .layout import Grid, Layout, Region, TextTokens
from .model import Adapter, Model
from .patching import Activations, Apply, Capture, Patch
from .seam import Bias, Edge, attention_mask, parse_edges

__all__ = [
    "Activations",
    "Adapter",
    "Apply",
    "AttentionMaps",
    "Bias",
    "Capture",
    "Cut",
    "Drop",
    "Edge",
    "FiringError",
    "Gain",
    "Grid",
    "Intervention",
    "Layout",
    "Model",
    "ModelError",
    "Patch",
    "Read",
    "Region",
    "Run",
    "TextTokens",
    "Watch",
    "as_numbers",
    "attention_mask",
    "parse_edges",
]
