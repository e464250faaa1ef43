"""mini: its world, its noise, its planted routes, and training that can stop anywhere."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import fluxlens as fl
from fluxlens.cli import main
from fluxlens.mini import architecture, latents
from fluxlens.mini.architecture import CONFIG
from fluxlens.mini.binding import choose
from fluxlens.mini.checkpoint import Run
from fluxlens.mini.drawings import Figure, Portrait, SceneView, Solid
from fluxlens.mini.muon import Muon
from fluxlens.mini.noise import free_of, with_free
from fluxlens.mini.train_text import turns
from fluxlens.mini.world import (
    COLORS,
    FAMILIES,
    FREE,
    NO_FREE,
    held_out,
    prompts,
    random_edit,
    random_generation,
)

WORDS = re.compile(r"\w+")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return architecture.tokenizer(prompts())


def test_every_word_is_one_token_and_pads_outnumber_content_two_to_one(tokenizer: Any) -> None:
    texts = prompts()
    length = CONFIG["text"]["max_sequence_length"]
    for text in texts:
        assert len(tokenizer(text)["input_ids"]) == len(text.split())
    real = (turns(tokenizer, texts) != tokenizer.pad_token_id).sum(1)
    content = real - latents.BEFORE - latents.AFTER
    assert (length - real >= 2 * content).all()
    assert content.tolist() == [len(text.split()) for text in texts]


def test_the_transformer_is_at_least_twice_as_wide_as_a_token() -> None:
    model = architecture.transformer()
    assert model.inner_dim >= 2 * model.config.in_channels
    assert model.config.in_channels == 4 * CONFIG["vae"]["latent_channels"] < 4 * 32


def test_world_asks_only_with_its_prompts_and_never_names_what_the_reference_shows() -> None:
    known, rng = set(prompts()), np.random.default_rng(3)
    for _ in range(300):
        assert random_generation(rng).prompt in known
        for family in FAMILIES:
            prompt = random_edit(family, rng).prompt
            assert prompt in known
            named = set(WORDS.findall(prompt))
            assert not named & {*COLORS, "cartoon", "illustrated", "drawing"}


@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_tasks_never_occur_in_training(family: Any) -> None:
    rng = np.random.default_rng(4)

    def key(held: bool) -> Any:
        edit = random_edit(family, rng, held=held)
        match edit.result:
            case Figure(subject, _, phrase):
                return subject, phrase
            case SceneView(scene, _, _):
                assert scene is not None
                assert held_out(scene) == held
                return scene
            case Portrait(person, _):
                return person
        assert isinstance(edit.reference, Solid)
        return edit.reference.rgb

    trained = {key(False) for _ in range(400)}
    assert not trained & {key(True) for _ in range(200)}


def test_free_factors_decide_the_drawing_and_nothing_else_does() -> None:
    rng = np.random.default_rng(5)
    for family in FAMILIES:
        drawing = random_edit(family, rng).result
        assert drawing.draw(NO_FREE).tobytes() == drawing.draw(NO_FREE).tobytes()
    still = random_edit("color", rng).result
    assert still.draw(NO_FREE).tobytes() != still.draw((2.0, *NO_FREE[1:])).tobytes()


def test_noise_carries_its_free_factors_and_stays_standard_normal() -> None:
    torch.manual_seed(0)
    z = torch.randn(4000, FREE)
    noise = with_free(torch.randn(4000, 36, 48), z)
    assert torch.allclose(free_of(noise), z, atol=1e-5)
    cells = noise[:, :2, : FREE + 1].reshape(4000, -1)
    assert cells.mean(0).abs().max() < 0.08
    assert (torch.cov(cells.T) - torch.eye(cells.shape[1])).abs().max() < 0.1


def test_sigmas_are_those_at_which_the_pipeline_samples() -> None:
    scheduler = architecture.scheduler()
    scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 4, 4), mu=1.0)
    assert torch.allclose(scheduler.sigmas[:4], architecture.sigmas(4), atol=1e-6)


def test_route_dropout_leaves_each_property_the_way_that_its_wiring_names() -> None:
    n, length, tokens = 400, CONFIG["text"]["max_sequence_length"], 36
    words = torch.randint(3, 12, (n,))
    image, ref = slice(length, length + tokens), slice(length + tokens, None)
    for kind in ("color", "style", "people", "add"):
        mask = latents.routes([kind] * n, words, tokens, torch.Generator().manual_seed(1))
        to_image = mask[:, 0, image, ref].all(dim=(1, 2))
        for row in range(n):
            real = latents.BEFORE + int(words[row]) + latents.AFTER
            # All of a region is closed or none of it, and nothing but readings of the reference.
            assert mask[row, 0, :, : length + tokens].all()
            assert mask[row, 0, ref].all()
            assert mask[row, 0, image, ref].any() == to_image[row]
            pad_open = mask[row, 0, real:length, ref].all()
            real_open = mask[row, 0, :real, ref].all()
            if kind in ("color", "style"):
                assert pad_open
                assert real_open == to_image[row]
            else:
                assert pad_open == real_open
                assert to_image[row] or kind == "add"
        share = 1 - to_image.float().mean()
        expected = {"people": 0.0, "add": CONFIG["dropout"]["scene_image"]}
        assert share == pytest.approx(expected.get(kind, CONFIG["dropout"]["property"]), abs=0.08)


def test_muon_takes_the_step_that_torch_takes() -> None:
    torch.manual_seed(0)
    steps = []
    for make in (Muon, torch.optim.Muon):
        p = torch.nn.Parameter(torch.zeros(24, 8))
        extra = {"adjust_lr_fn": "match_rms_adamw"} if make is torch.optim.Muon else {}
        optimizer = make([p], lr=0.1, weight_decay=0.0, **extra)  # type: ignore[operator]
        p.grad = torch.linspace(-1, 1, 192).reshape(24, 8).sin() + torch.eye(24)[:, :8]
        optimizer.step()
        steps.append(p.detach())
    ours, theirs = steps
    assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999
    assert float(ours.norm()) == pytest.approx(float(theirs.norm()), rel=0.02)


def _toy(folder: Path, total: int, stop: int | None = None) -> dict[str, Any]:
    """A toy stage of training; ``stop`` breaks off in the middle of that step."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    run = Run(folder, "toy", model, [optimizer], save_every=5, log_every=2)
    for step in run.steps(total):
        loss = model(torch.randn(4, 3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step == stop:
            raise KeyboardInterrupt
        optimizer.step()
        run.report(loss=loss.item())
    lines = [json.loads(line) for line in run.log.read_text().splitlines()]
    return run.averaged | {"log": [(line["step"], line["loss"]) for line in lines]}


def test_training_that_was_interrupted_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    whole = _toy(tmp_path / "whole", 20)
    with pytest.raises(KeyboardInterrupt):
        _toy(tmp_path / "broken", 20, stop=13)
    resumed = _toy(tmp_path / "broken", 20)
    assert resumed.pop("log") == whole.pop("log")
    for name, value in whole.items():
        assert torch.equal(value, resumed[name])


def test_a_small_training_from_nothing_ends_in_models_that_load_and_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fluxlens.mini.export import export
    from fluxlens.mini.train import train

    counts = {"chunk": 2, "color": 2, "style": 2, "people": 2, "add": 2, "text": 2}
    few = {"compile": False, "batch": 2, "steps_base": 1, "steps_bound": 2, "steps_direct": 1}
    monkeypatch.setitem(CONFIG, "data", counts)
    monkeypatch.setitem(CONFIG, "vae", CONFIG["vae"] | {"phases": [[1, 2, 32], [1, 2, 48]]})
    monkeypatch.setitem(CONFIG["vae"], "pictures", 16)
    monkeypatch.setitem(CONFIG, "text", CONFIG["text"] | {"steps": 1})
    monkeypatch.setitem(CONFIG, "train", CONFIG["train"] | few)
    train(tmp_path / "work", ["base", "bound"])
    train(tmp_path / "work")
    export(tmp_path / "work", tmp_path / "weights")
    for text in (tmp_path / "weights").rglob("*.json"):
        assert str(tmp_path) not in text.read_text()
    for part in ("data", "latents"):  # a new work folder, that need not draw and encode it all
        shutil.copytree(tmp_path / "work" / part, tmp_path / "again" / part)
    train(tmp_path / "again", ["bound"], weights=tmp_path / "weights")
    was, now = (load_file(tmp_path / w / "bound.safetensors") for w in ("work", "again"))
    for name, value in was.items():  # no step was left to do
        torch.testing.assert_close(now[name], value, atol=2e-3, rtol=2e-3)
    with pytest.raises(ValueError, match="not 'base'; name --stages"):
        train(tmp_path / "again", weights=tmp_path / "weights")
    prompt = "draw a mug in this color"
    pictures = []
    for name in ("mini", "mini-direct"):
        flux = fl.load(tmp_path / "weights" / name)
        assert (flux.name, flux.wiring) == (name, {"mini": "bound"}.get(name, "direct"))
        pictures.append(flux.edit(prompt, ref=Solid((40, 90, 220)).draw(NO_FREE), seed=0))
        assert pictures[-1].size == (96, 96)
    assert pictures[0].tobytes() != pictures[1].tobytes()
    assert main(["mini", "binding", str(tmp_path / "weights"), "--n", "1"]) == 0
    bound, direct = (fl.load(tmp_path / "weights" / name) for name in ("mini", "mini-direct"))
    assert bound.binding == direct.binding
    swept = json.loads((tmp_path / "weights" / "mini" / "fluxlens.json").read_text())["sweep"]
    for family in ("color", "style"):
        assert list(swept["rates"][family]) == list(bound.blocks)


@pytest.mark.parametrize(
    ("rates", "block"),
    [
        ([0.1, 0.95, 0.9, 1.0], "double.1"),  # 38 of 40 lies in the interval of 40 of 40
        ([0.1, 0.9, 1.0, 0.2], "double.2"),  # 36 of 40 does not
        ([0.5, 0.0, 0.0, 0.5], "double.0"),
    ],
)
def test_the_binding_block_is_the_first_that_is_not_told_from_the_best(
    rates: list[float], block: str
) -> None:
    names = [f"double.{n}" for n in range(len(rates))]
    assert choose(dict(zip(names, rates, strict=True)), 40) == block


def test_whitening_brings_weak_directions_up_and_blows_nothing_up() -> None:
    torch.manual_seed(0)
    strengths = torch.tensor([10.0, 1.0, 0.1, 1e-6])
    text = torch.randn(50, 20, 4) * strengths
    white = text @ latents.whitening(text)
    strong, middle, weak, nothing = white.flatten(0, 1).std(dim=0).tolist()
    assert strong == pytest.approx(1, abs=0.05)
    assert middle > strong / 2
    assert weak > 10 * strong * strengths[2] / strengths[0]
    assert nothing < 1e-3
