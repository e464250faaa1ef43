"""What a model's arithmetic depends on, read from configurations alone.

>>> klein = model_shape("klein-9b")
>>> klein.transformer.blocks, klein.binding["color"], f"{klein.parameters / 1e9:.1f} B"
(32, 'single.9', '17.3 B')
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fluxlens.core import ModelError
from fluxlens.loading import find
from fluxlens.models import KNOWN, SHIPPED_NAMES
from fluxlens.study.encoders import TextCost, VaeCost
from fluxlens.study.flops import TransformerCost
from fluxlens.study.sampling import KLEIN, Sampling, sampling_named

__all__ = ["ModelShape", "configurations", "model_shape"]

FILE = Path(__file__).with_name("models.toml")


@dataclass(frozen=True)
class ModelShape:
    """The costs of a model's parts, and how it reads text: ``model_shape("klein-4b").text``.

    `binding` are the blocks after which the recipes capture (as `fluxlens.Editor.binding`),
    `sampling` its steps and forwards.
    """

    name: str
    transformer: TransformerCost
    text: TextCost
    vae: VaeCost
    text_tokens: int
    text_layers: tuple[int, ...]
    binding: Mapping[str, str] = field(hash=False)
    sampling: Sampling = KLEIN

    @property
    def parameters(self) -> int:
        """Weights of the transformer and the text encoder, which a GPU must hold at once."""
        return self.transformer.parameters + self.text.parameters


def configurations() -> dict[str, dict[str, Any]]:
    """The shipped configurations by model: ``configurations()["klein-9b"]["transformer"]``."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def model_shape(name: str) -> ModelShape:
    """The shape of a known klein (no weights), a shipped mini, or a folder's model.

    Base models have the distilled ones' configurations and their own sampling. `ValueError` for a
    name or a family that is not counted, `fluxlens.ModelError` for a folder that holds no model.
    """
    configs, sampling = configurations(), sampling_named(name)
    short = {model.hub_id: short for short, model in KNOWN.items()}.get(name, name)
    if sampling.family != KLEIN.family:
        raise ValueError(
            f"what a forward of {name!r} takes is not known yet: operations are counted for "
            f"{KLEIN.family} alone, not for {sampling.family}; `fluxlens plan` counts its "
            "pictures and forwards"
        )
    if config := configs.get(short.replace("klein-base", "klein")):
        return _shape(short, config, {}, sampling)
    if short not in SHIPPED_NAMES and not Path(name).is_dir():
        known = [model for model in KNOWN if model.replace("klein-base", "klein") in configs]
        raise ValueError(
            f"the configuration of {name!r} is not known here; there are {', '.join(known)}, "
            f"{', '.join(SHIPPED_NAMES)}, or a folder in the hub's format"
        )
    source = find(name)
    base, facts = source.base.resolve(), source.facts
    parts = {"transformer": source.folder, "text_encoder": base, "vae": base}
    config = {part: _read(root / part / "config.json") for part, root in parts.items()}
    return _shape(facts.get("name", name), config, facts, sampling)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _shape(
    name: str, config: Mapping[str, Any], facts: Mapping[str, Any], sampling: Sampling
) -> ModelShape:
    transformer = TransformerCost.of(config["transformer"])
    # as `Editor` chooses them, where no sweep has said better
    relative = {
        "style": f"double.{transformer.double - 1}",
        "color": f"single.{max(round(transformer.single * 10 / 24) - 1, 0)}",
    }
    return ModelShape(
        name=name,
        transformer=transformer,
        text=TextCost.of(config["text_encoder"]),
        vae=VaeCost.of(config.get("vae", {})),
        text_tokens=facts.get("max_sequence_length", 512),
        text_layers=tuple(facts.get("text_layers", (9, 18, 27))),
        binding={**relative, **facts.get("binding", {})},
        sampling=sampling,
    )
