"""Load a model by its name: a mini, a known editor, a hub id, a folder, or a pipeline you hold.

```python
editor = fl.load("mini")
editor.edit("draw a mug in this color", ref=red, seed=0)
```
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from .core import ModelError
from .editor import Editor
from .models import KNOWN, SHIPPED, SHIPPED_NAMES, known
from .pipelines import Family, adapt, family_of

SETTINGS = ("max_sequence_length", "text_layers", "default_size", "guidance")


@dataclass(frozen=True)
class Source:
    """Where a model is: its folder, the commit it was fetched at, and its `fluxlens.json`."""

    folder: Path
    commit: str | None
    facts: dict[str, Any]

    @property
    def base(self) -> Path:
        """The folder whose other components it shares."""
        return self.folder / self.facts["base"] if "base" in self.facts else self.folder


def load(
    model: str | Path | Any,
    *,
    dtype: torch.dtype | str | None = None,
    device: str | torch.device | None = None,
    device_map: str | None = None,
    offload: bool = False,
    revision: str | None = None,
    max_sequence_length: int | None = None,
    text_layers: Sequence[int] | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    default_size: int | None = None,
    binding: Mapping[str, str] | None = None,
    family: type[Family] | None = None,
) -> Editor:
    """Load a model: ``editor = fl.load("mini")``.

    `model`: a known name (``fluxlens.models.KNOWN``: ``"mini"``, ``"klein-9b"``, ``"flux2-dev"``,
    ``"kontext-dev"``, ``"qwen-image-edit"`` …), a hub id, a folder in the hub's format (with,
    optionally, a `fluxlens.json`), or a pipeline that you hold, which stays as it is. `dtype` is
    float32 on the CPU and bfloat16 on CUDA unless given; `offload` keeps only the running component
    on the GPU, and ``device_map="balanced"`` spreads the components over this machine's GPUs.
    `steps`, `guidance` and `default_size` (pixels of a generation's side) are used where a run is
    not told otherwise. Without sweeps of its own a model's binding blocks are the paper's at the
    same relative depth: override with
    ``binding={"style": "double.3", "color": "single.5"}``. `family` is an adapter of your own, for
    a pipeline that has none here. Only safetensors are read. Raises `ModelError` with the remedy.
    """
    settings = {
        "max_sequence_length": _positive("max_sequence_length", max_sequence_length),
        "text_layers": None if text_layers is None else list(text_layers),
        "steps": _positive("steps", steps),
        "guidance": guidance,
        "default_size": _positive("default_size", default_size),
    }
    if not isinstance(model, str | Path):
        if revision or dtype or device or device_map or offload:
            raise ModelError(
                "a pipeline that you hold stays as it is: leave revision, dtype, device, "
                "device_map and offload out, and set them on the pipeline itself"
            )
        pipe = _pipeline(model)
        own = adapt(pipe, family, **settings)
        return Editor(pipe, own, name=_name_of(pipe) or own.name, binding=binding)
    source = find(str(model), revision)
    pipe = _read(source, _dtype(dtype), device, device_map, offload, family)
    facts = source.facts
    defaults = {name: facts.get(name) for name in SETTINGS}
    given = {name: value for name, value in settings.items() if value is not None}
    return Editor(
        pipe,
        adapt(pipe, family, **{**defaults, **given}),
        name=facts.get("name", str(model)),
        revision=source.commit or digest(source.folder),
        wiring=facts.get("wiring"),
        binding=binding or facts.get("binding"),
    )


def _positive(name: str, value: int | None) -> int | None:
    whole = hasattr(value, "__index__") and not isinstance(value, bool)
    if value is not None and (not whole or value < 1):
        raise ModelError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


def _dtype(value: torch.dtype | str | None) -> torch.dtype | None:
    named = getattr(torch, value, None) if isinstance(value, str) else value
    if value is not None and not isinstance(named, torch.dtype):
        raise ModelError(f"dtype is a torch.dtype or its name, like 'bfloat16', not {value!r}")
    return named


def _pipeline(model: Any) -> Any:
    if not isinstance(model, diffusers.DiffusionPipeline):
        raise ModelError(f"cannot load a {type(model).__name__}; use {known()}, or a pipeline")
    return model


def _name_of(pipe: Any) -> str:
    return str(getattr(pipe.config, "_name_or_path", "") or "").rstrip("/").split("/")[-1]


def _read(source: Source, dtype: Any, device: Any, device_map: Any, offload: bool, own: Any) -> Any:
    placed = device is not None
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    if offload and device.type == "cpu":
        raise ModelError("offload needs an accelerator: there is nothing to offload from on a CPU")
    if device_map and (offload or placed):
        raise ModelError("a device map says where components go: leave device and offload out")
    folder, base = source.folder, source.base
    settings: dict[str, Any] = {"use_safetensors": True, "dtype": dtype}
    if base != folder:
        check(folder, only=("transformer",))
        if device_map:
            raise ModelError(f"{folder} shares its components: it cannot be spread by a device map")
    pipeline = check(base, own=own)
    kind = getattr(diffusers, pipeline, None)
    if kind is None:
        raise ModelError(f"diffusers has no {pipeline}: load it yourself, and pass the pipeline")
    try:
        with quiet(not source.commit):
            if base != folder:
                transformer = json.loads((base / "model_index.json").read_text())["transformer"][1]
                settings["transformer"] = getattr(diffusers, transformer).from_pretrained(
                    folder / "transformer", use_safetensors=True, dtype=dtype
                )
            pipe = kind.from_pretrained(
                base, local_files_only=True, device_map=device_map, **settings
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise ModelError(f"{folder} could not be loaded: {error}") from error
    if offload:
        pipe.enable_model_cpu_offload(device=device)
    elif not device_map:
        pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def find(name: str, revision: str | None = None) -> Source:
    """Find a model's folder, downloading a hub id if need be; `ModelError` with the remedy."""
    folder: Path | None = None
    if name in SHIPPED_NAMES:
        folder = SHIPPED / name
        if not folder.is_dir():
            raise ModelError(
                f"the weights of {name!r} are not in this installation ({folder} is missing): "
                "train them with `fluxlens mini train`, or get a release that ships them"
            )
    elif name and Path(name).is_dir():
        folder = Path(name)
    if folder is not None:
        if revision is not None:
            raise ModelError(f"{folder} is a folder, which has no revisions: leave revision out")
        return Source(folder, None, read_facts(folder))
    hub_id = KNOWN[name].hub_id if name in KNOWN else name
    parts = hub_id.split("/")
    if len(parts) != 2 or not all(parts) or hub_id[0] in "./~":
        raise ModelError(f"unknown model {name!r}; use {known()}")
    folder, commit = download(hub_id, revision)
    return Source(folder, commit, read_facts(folder))


def download(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """Fetch a hub repository (safetensors only) into the cache; returns (folder, commit)."""
    try:
        fetch = diffusers.DiffusionPipeline.download
        folder = Path(fetch(hub_id, revision=revision, use_safetensors=True))
    except Exception as error:  # the hub has a dozen ways to say no; the reader needs one
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise ModelError(
            f"cannot fetch {hub_id!r} from the Hugging Face hub ({reason}). If it is gated, accept "
            f"its licence at https://huggingface.co/{hub_id} and log in with `hf auth login`; if "
            "this machine is offline, copy the repository here and load its folder; if the name is "
            f"wrong, the known ones are {known()}"
        ) from error
    return folder, folder.name


def read_facts(folder: Path) -> dict[str, Any]:
    """Read `fluxlens.json`, what this library knows of a local model; nothing if there is none."""
    path = folder / "fluxlens.json"
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(facts, dict):
        raise ModelError(f"{path} should hold a JSON object")
    return facts


def check(folder: Path, only: tuple[str, ...] = (), own: type[Family] | None = None) -> str:
    """Raise `ModelError` listing everything that a pipeline's folder lacks; gives its class."""
    index, parts = folder / "model_index.json", {}
    if not only:
        if not index.is_file():
            raise ModelError(
                f"{folder} is not a pipeline's folder: it has no model_index.json (save one with "
                "pipe.save_pretrained(folder))"
            )
        parts = json.loads(index.read_text())
        family_of(str(parts.get("_class_name")), own)
    named = [name for name, value in parts.items() if isinstance(value, list) and value[0]]
    lacking = []
    for component in only or named:
        part = folder / component
        if component.startswith("scheduler"):
            expected = [part / "scheduler_config.json"]
        elif component.startswith(("tokenizer", "processor", "image_processor", "feature")):
            found = any(part.glob("*.json"))
            expected = [] if found else [part / "tokenizer.json"]
        else:
            expected = [part / "config.json", *_weights(part)]
        lacking += [str(path.relative_to(folder)) for path in expected if not path.is_file()]
    if lacking:
        raise ModelError(
            f"{folder} is incomplete: {', '.join(lacking)} missing. Copy or download it again "
            "(weights must be safetensors)"
        )
    return str(parts.get("_class_name"))


def _weights(part: Path) -> list[Path]:
    shards: set[str] = set()
    for index in part.glob("*.safetensors.index.json"):
        shards |= set(json.loads(index.read_text())["weight_map"].values())
    if shards:
        return [part / name for name in sorted(shards)]
    return [] if any(part.glob("*.safetensors")) else [part / "*.safetensors"]


@contextmanager
def quiet(local: bool = True) -> Iterator[None]:
    """Show no progress bars: a `local` folder loads in a moment, and notebooks keep the output."""
    logs = (diffusers_logging, transformers_logging) if local else ()
    shown = [log for log in logs if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()


def digest(folder: Path, limit: int = 256 * 2**20) -> str | None:
    """A short fingerprint of a small local transformer's weights, to stand as its revision."""
    files = sorted((folder / "transformer").glob("*.safetensors"))
    if sum(f.stat().st_size for f in files) > limit:
        return None
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return f"sha256:{total.hexdigest()[:16]}"
