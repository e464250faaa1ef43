"""Tiny models and references that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """A colorful random reference."""
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Saved tiny pipelines of several shapes, by name."""
    import tiny

    root = tmp_path_factory.mktemp("models")
    shapes = {
        "two-three": tiny.Shape(),
        "one-one": tiny.Shape(1, 1, heads=1, dynamic=False, length=33, seed=3),
        "three-two": tiny.Shape(
            3,
            2,
            head_dim=24,
            rope=(8, 8, 4, 4),
            text_layers=(1, 2, 3),
            latents=2,
            length=45,
            seed=5,
        ),
    }
    return {name: tiny.save(root / name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def models(folders):
    """The same, loaded."""
    import fluxlens as fl

    return {name: fl.load(folder) for name, folder in folders.items()}


@pytest.fixture(scope="session", params=["two-three", "one-one", "three-two"])
def every(request, models):
    """Each tiny model in turn."""
    return models[request.param]


@pytest.fixture(scope="session")
def flux(models):
    """The default tiny model: 2 double and 3 single blocks, 40 text tokens."""
    return models["two-three"]


@pytest.fixture(scope="session")
def red():
    """A 96×96 reference."""
    return picture(96, 96, 1)


@pytest.fixture(scope="session")
def blue():
    """Another 96×96 reference."""
    return picture(96, 96, 2)


@pytest.fixture(autouse=True)
def _no_leaks(request):
    """After every test, no hook and no wrapper is left on any shared model."""
    yield
    if "models" not in request.fixturenames:
        return
    from diffusers.models.transformers import transformer_flux2

    from fluxlens.core import Watch

    for flux in request.getfixturevalue("models").values():
        assert hooks(flux) == 0
        assert not Watch.of(flux).interventions
        assert "encode_prompt" not in vars(flux.pipe)
    assert not hasattr(transformer_flux2.dispatch_attention_fn, "users")


def hooks(flux) -> int:
    """Hooks registered anywhere on the transformer."""
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) for m in flux.pipe.transformer.modules()
    )


@pytest.fixture(scope="session")
def data() -> Path:
    """A clone of the authors' repository, or a folder laid out like one, beside this one."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "paper-data"
    folder = Path(os.environ.get("FLUXLENS_PAPER_DATA") or beside)
    if not (folder / "data" / "tasks").is_dir():
        pytest.skip("no clone of the authors' repository: FLUXLENS_PAPER_DATA names one")
    return folder
