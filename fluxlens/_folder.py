"""Find a model's folder, and check that it is whole before anything is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The one place that says where the shipped models are.
SHIPPED = Path(__file__).parent / "mini" / "weights"
SHIPPED_NAMES = ("mini", "mini-direct")
HUB_NAMES = {
    "klein-9b": "black-forest-labs/FLUX.2-klein-9B",
    "klein-4b": "black-forest-labs/FLUX.2-klein-4B",
}
PIPELINE = "Flux2KleinPipeline"


class ModelError(RuntimeError):
    """A model could not be loaded, or cannot be put under these instruments; says the remedy."""


def known() -> str:
    """The names that `load` knows, for messages."""
    return ", ".join((*SHIPPED_NAMES, *HUB_NAMES)) + ", a hub id (owner/name), or a folder"


def find(name: str, revision: str | None) -> tuple[Path, str | None]:
    """A name's folder and revision, downloading a hub id if need be."""
    if name in SHIPPED_NAMES:
        folder = SHIPPED / name
        if not folder.is_dir():
            raise ModelError(
                f"the weights of {name!r} are not in this installation ({folder} is missing): "
                "train them with `fluxlens mini train`, or get a release that ships them"
            )
        return folder, None
    if name and Path(name).is_dir():
        return Path(name), None
    hub_id = HUB_NAMES.get(name, name)
    parts = hub_id.split("/")
    if len(parts) != 2 or not all(parts) or hub_id[0] in "./~":
        raise ModelError(f"unknown model {name!r}; use {known()}")
    return download(hub_id, revision)


def download(hub_id: str, revision: str | None) -> tuple[Path, str]:
    """Fetch a hub repository (safetensors only) into the cache; returns (folder, commit)."""
    from diffusers import Flux2KleinPipeline

    try:
        folder = Path(Flux2KleinPipeline.download(hub_id, revision=revision, use_safetensors=True))
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
    """`fluxlens.json`, or nothing."""
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


def check(folder: Path, only: tuple[str, ...] | None = None) -> None:
    """Raise `ModelError` listing everything that a pipeline folder lacks."""
    index = folder / "model_index.json"
    lacking = []
    components = only or ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
    if only is None:
        if not index.is_file():
            raise ModelError(
                f"{folder} is not a pipeline's folder: it has no model_index.json (save one with "
                "pipe.save_pretrained(folder))"
            )
        kind = json.loads(index.read_text()).get("_class_name")
        if kind == "Flux2KleinKVPipeline":
            raise ModelError(
                f"{folder} is a {kind}: it caches reference keys and ignores attention masks, so a "
                f"knockout would do nothing; use a {PIPELINE} model"
            )
        if kind != PIPELINE:
            raise ModelError(f"{folder} is a {kind}; fluxlens works on {PIPELINE} models")
    for component in components:
        part = folder / component
        if component == "scheduler":
            wanted = [part / "scheduler_config.json"]
        elif component == "tokenizer":
            wanted = [] if (part / "vocab.json").is_file() else [part / "tokenizer.json"]
        else:
            wanted = [part / "config.json", *_weights(part)]
        lacking += [str(path.relative_to(folder)) for path in wanted if not path.is_file()]
    if lacking:
        raise ModelError(
            f"{folder} is incomplete: {', '.join(lacking)} missing. Copy or download it again "
            "(weights must be safetensors)"
        )


def _weights(part: Path) -> list[Path]:
    shards: set[str] = set()
    for index in part.glob("*.safetensors.index.json"):
        shards |= set(json.loads(index.read_text())["weight_map"].values())
    if shards:
        return [part / name for name in sorted(shards)]
    if any(part.glob("*.safetensors")):
        return []
    return [part / "*.safetensors"]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars: a local folder loads in a moment, and notebooks keep what is printed."""
    from diffusers.utils import logging as diffusers
    from transformers.utils import logging as transformers

    shown = [log for log in (diffusers, transformers) if log.is_progress_bar_enabled()]
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
