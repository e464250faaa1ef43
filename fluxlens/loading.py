"""Load a model by its name: a mini, a klein, a hub id or a folder.

```python
flux = fl.load("mini")
flux.edit("draw a mug in this color", ref=red, seed=0)
```
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from . import _folder
from ._folder import ModelError
from .models import Flux

__all__ = ["load"]


def load(
    name: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device | None = None,
    device_map: str | None = None,
    offload: bool = False,
    revision: str | None = None,
    max_sequence_length: int | None = None,
    text_layers: Sequence[int] | None = None,
    binding: dict[str, str] | None = None,
) -> Flux:
    """Load a model: ``flux = fl.load("mini")``.

    `name`: ``"mini"``, ``"mini-direct"``, ``"klein-9b"``, ``"klein-4b"``, a hub id, or a folder in
    the hub's format (with, optionally, a `fluxlens.json`). `dtype` is float32 on the CPU and
    bfloat16 on CUDA unless given; `offload` keeps only the running component on the GPU, and
    ``device_map="balanced"`` spreads the components over this machine's GPUs. Without
    sweeps of its own a model's binding blocks are the paper's at the same relative depth: override
    with ``binding={"style": "double.3", "color": "single.5"}``. Only safetensors are read. Raises
    `ModelError` with the remedy.
    """
    from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel

    placed = device is not None
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    if offload and device.type == "cpu":
        raise ModelError("offload needs an accelerator: there is nothing to offload from on a CPU")
    if device_map and (offload or placed):
        raise ModelError("a device map says where components go: leave device and offload out")
    folder, commit = _folder.find(str(name), revision)
    facts = _folder.read_facts(folder)
    settings: dict[str, Any] = {"use_safetensors": True, "dtype": dtype}
    base = folder
    if "base" in facts:
        base = (folder / facts["base"]).resolve()
        if not base.is_dir():
            raise ModelError(f"{folder} is built on {base}, which is missing")
        _folder.check(folder, only=("transformer",))
        if device_map:
            raise ModelError(f"{folder} shares its components: it cannot be spread by a device map")
    _folder.check(base)
    try:
        with nullcontext() if commit else _folder.quiet():
            if base is not folder:
                settings["transformer"] = Flux2Transformer2DModel.from_pretrained(
                    folder / "transformer", use_safetensors=True, dtype=dtype
                )
            pipe = Flux2KleinPipeline.from_pretrained(
                base, local_files_only=True, device_map=device_map, **settings
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder} could not be loaded: {error}") from error
    if offload:
        pipe.enable_model_cpu_offload(device=device)
    elif not device_map:
        pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    return Flux(
        pipe,
        name=facts.get("name", str(name)),
        revision=commit or _folder.digest(folder),
        wiring=facts.get("wiring"),
        max_sequence_length=max_sequence_length or facts.get("max_sequence_length", 512),
        text_layers=text_layers or facts.get("text_layers", (9, 18, 27)),
        binding=binding or facts.get("binding"),
        default_size=facts.get("default_size", 1024),
    )
