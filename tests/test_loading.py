"""Loading: folders, names, what a Editor knows of itself, and what is refused."""

import json
import shutil

import diffusers
import pytest
import tiny
import torch
from helpers import PROMPT, same

import fluxlens as fl
from fluxlens import loading
from fluxlens.core import Watch
from fluxlens.models import KNOWN


def test_a_folder_says_what_it_is(folders):
    flux = fl.load(folders["three-two"])
    assert flux.name == "tiny-3-2"
    assert flux.wiring == "random"
    assert flux.blocks == ("double.0", "double.1", "double.2", "single.0", "single.1")
    assert (flux.max_sequence_length, flux.text_layers) == (45, (1, 2, 3))
    assert flux.default_size == 96
    assert flux.dtype == torch.float32
    assert flux.device.type == "cpu"
    assert flux.revision.startswith("sha256:")


def test_arguments_win_over_the_folder(folders):
    binding = {"style": "double.0", "color": "single.2"}
    flux = fl.load(folders["two-three"], max_sequence_length=50, binding=binding)
    assert flux.layout(PROMPT).text == 50
    assert (flux.binding.style, flux.binding.color) == ("double.0", "single.2")


def test_binding_blocks_are_the_papers_at_its_size(flux):
    blocks = [
        f"{kind}.{n}" for kind, count in (("double", 8), ("single", 24)) for n in range(count)
    ]
    assert flux.family.default_binding(blocks) == {"style": "double.7", "color": "single.9"}
    assert vars(flux.binding) == flux.family.default_binding(flux.blocks)


def test_a_model_may_share_everything_but_its_transformer(folders, tmp_path):
    shutil.copytree(folders["two-three"], tmp_path / "bound")
    other = tiny.build(tiny.Shape(seed=11))
    other.transformer.save_pretrained(tmp_path / "direct" / "transformer")
    facts = json.loads((tmp_path / "bound" / "fluxlens.json").read_text())
    facts |= {"name": "direct", "base": "../bound"}
    (tmp_path / "direct" / "fluxlens.json").write_text(json.dumps(facts))
    flux, base = fl.load(tmp_path / "direct"), fl.load(tmp_path / "bound")
    assert flux.name == "direct"
    assert flux.revision != base.revision
    weights = flux.pipe.transformer.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in other.transformer.state_dict().items())
    shared = base.pipe.text_encoder.state_dict()
    assert all(torch.equal(shared[k], v) for k, v in flux.pipe.text_encoder.state_dict().items())


def test_half_precision_weights_run_in_float32_on_the_cpu(folders, tmp_path, red):
    pipe = tiny.build(tiny.Shape(1, 1)).to(torch.float16)
    pipe.save_pretrained(tmp_path / "half")
    shutil.copy(folders["two-three"] / "fluxlens.json", tmp_path / "half")
    flux = fl.load(tmp_path / "half")
    assert flux.dtype == flux.pipe.vae.dtype == flux.pipe.text_encoder.dtype == torch.float32
    flux.edit(PROMPT, red, steps=1)


def test_another_dtype_runs_too(folders, red):
    flux = fl.load(folders["one-one"], dtype=torch.bfloat16)
    assert flux.record()["dtype"] == "bfloat16"
    made = fl.t2i_lens(flux, PROMPT, red)
    assert made.image.size == (96, 96)
    with flux.knockout("ref->text"):
        flux.edit(PROMPT, red)


def test_shipped_names_point_into_the_package(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "SHIPPED", tmp_path)
    shutil.copytree(folders["one-one"], tmp_path / "mini")
    assert fl.load("mini").name == "tiny-1-1"
    with pytest.raises(fl.ModelError, match="fluxlens mini train"):
        fl.load("mini-direct")


def test_blocks_are_named_by_globs_and_ranges(flux):
    assert flux.select("*") == flux.blocks
    assert flux.select("double.*") == ("double.0", "double.1")
    assert flux.select("double.1..single.1") == ("double.1", "single.0", "single.1")
    assert flux.select("..double.1") == ("double.0", "double.1")
    assert flux.select("single.2..") == ("single.2",)
    assert flux.select(["single.2", "double.0"]) == ("double.0", "single.2")
    assert flux.select("single.2, double.0") == ("double.0", "single.2")
    assert flux.select(flux.blocks[1:3]) == ("double.1", "single.0")


def test_a_varlen_backend_is_refused(folders, red):
    from diffusers.models.attention_dispatch import AttentionBackendName

    flux = fl.load(folders["one-one"])
    processor = flux.pipe.transformer.single_transformer_blocks[0].attn.processor
    processor._attention_backend = AttentionBackendName.FLASH_VARLEN
    with pytest.raises(fl.ModelError, match=r"flash_varlen.*vanish"):
        flux.knockout("ref->text").__enter__()
    assert not Watch.of(flux).interventions
    with pytest.raises(fl.ModelError, match="vanish"):
        fl.load(flux.pipe, text_layers=flux.text_layers)
    processor._attention_backend = None
    with flux.knockout("ref->text"):
        flux.edit(PROMPT, red)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "Flux2KleinKVPipeline"}, "ignores attention masks"),
        ({"_class_name": "FluxPipeline"}, "works on Flux2KleinPipeline"),
    ],
)
def test_pipelines_that_cannot_be_studied_are_refused(folders, tmp_path, change, message):
    shutil.copytree(folders["one-one"], tmp_path / "m")
    index = tmp_path / "m" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    with pytest.raises(fl.ModelError, match=message):
        fl.load(tmp_path / "m")


@pytest.mark.parametrize(
    "missing",
    [
        "model_index.json",
        "transformer",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer",
        "scheduler/scheduler_config.json",
    ],
)
def test_an_incomplete_folder_says_what_is_missing(folders, tmp_path, missing):
    shutil.copytree(folders["one-one"], tmp_path / "m")
    path = tmp_path / "m" / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(fl.ModelError, match=missing.split("/")[0]):
        fl.load(tmp_path / "m")


def test_a_missing_shard_is_named(folders, tmp_path):
    shutil.copytree(folders["one-one"], tmp_path / "m")
    part = tmp_path / "m" / "transformer"
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (part / "x.safetensors.index.json").write_text(json.dumps(index))
    (part / "part-1.safetensors").touch()
    with pytest.raises(fl.ModelError, match=r"part-2\.safetensors missing"):
        fl.load(tmp_path / "m")


def test_damaged_weights_are_one_clear_error(folders, tmp_path):
    shutil.copytree(folders["one-one"], tmp_path / "m")
    file = tmp_path / "m" / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(fl.ModelError, match="could not be loaded"):
        fl.load(tmp_path / "m")


@pytest.mark.parametrize("name", ["klein", "mini-9b", "", "a/b/c", "./nowhere"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(fl.ModelError, match=r"unknown model.*mini-direct, klein-9b"):
        fl.load(name)


def test_a_hub_id_out_of_reach_is_one_message_with_the_remedy(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("403 Client Error: access to this model is restricted")

    from diffusers import DiffusionPipeline

    monkeypatch.setattr(DiffusionPipeline, "download", refuse)
    with pytest.raises(fl.ModelError, match=r"restricted.*hf auth login.*offline"):
        fl.load("klein-9b")


def test_text_settings_that_do_not_fit_are_refused(folders):
    with pytest.raises(fl.ModelError, match="do not exist in a text encoder of 2"):
        fl.load(folders["two-three"], text_layers=(9, 18))
    with pytest.raises(fl.ModelError, match="reads 32"):
        fl.load(folders["two-three"], text_layers=(1,))


def test_loading_a_folder_prints_nothing_and_leaves_the_bars_on(folders, capfd):
    from diffusers.utils import logging

    fl.load(folders["one-one"])
    assert "".join(capfd.readouterr()) == ""
    assert logging.is_progress_bar_enabled()


def test_a_device_map_changes_no_picture(folders, red):
    """Components behind the hooks that a map puts there paint what the others do."""
    from accelerate import dispatch_model

    flux, spread = (fl.load(folders["two-three"], device_map=where) for where in (None, "cpu"))
    for part in (spread.pipe.text_encoder, spread.pipe.transformer, spread.pipe.vae):
        dispatch_model(part, {"": "cpu"}, force_hooks=True)  # as over several GPUs
        assert part._hf_hook
    assert spread.device.type == "cpu"

    def painted(one):
        with one.capture("double.1") as acts:
            images = [one.edit(PROMPT, red)]
        with one.patch(acts), one.knockout("ref->text[padding]"):
            images.append(one.edit(PROMPT, red, seed=1))
        images.append(fl.t2i_lens(one, PROMPT, red).image)
        images.append(fl.drop_reference(one, PROMPT, red, after="single.0").image)
        return [image.tobytes() for image in images]

    assert painted(spread) == painted(flux)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"device": "cpu"}, "leave device and offload out"),
        ({"device_map": "nowhere"}, "nowhere not supported"),
    ],
)
def test_a_device_map_that_cannot_be_is_refused(folders, given, says):
    with pytest.raises(fl.ModelError, match=says):
        fl.load(folders["one-one"], **{"device_map": "balanced", **given})


def test_offload_needs_an_accelerator(folders):
    with pytest.raises(fl.ModelError, match="accelerator"):
        fl.load(folders["one-one"], device="cpu", offload=True)


def test_two_loads_of_a_folder_agree(folders, flux, red):
    assert same(fl.load(folders["two-three"]).edit(PROMPT, red), flux.edit(PROMPT, red))


def test_a_pipeline_in_hand_stays_as_it_is(folders, flux, red):
    pipe = fl.load(folders["two-three"]).pipe
    held = fl.load(pipe, max_sequence_length=40, text_layers=(1, 2), binding={"style": "double.0"})
    assert (held.pipe, held.binding.style, held.name) == (pipe, "double.0", "two-three")
    assert same(held.edit(PROMPT, red), flux.edit(PROMPT, red))
    for more in ({"dtype": "bfloat16"}, {"device": "cpu"}, {"revision": "main"}, {"offload": True}):
        with pytest.raises(fl.ModelError, match="stays as it is"):
            fl.load(pipe, **more)
    with pytest.raises(fl.ModelError, match="cannot load a int; use mini"):
        fl.load(3)


def test_settings_that_say_nothing_are_refused(folders):
    folder = folders["one-one"]
    assert fl.load(folder, dtype="bfloat16").dtype == torch.bfloat16
    for more, says in (
        ({"dtype": "bf16"}, "not 'bf16'"),
        ({"dtype": "nn"}, "not 'nn'"),
        ({"revision": "main"}, "has no revisions"),
        ({"max_sequence_length": 0}, "at least 1, not 0"),
        ({"max_sequence_length": 2.5}, "at least 1, not 2.5"),
        ({"steps": 0}, "steps must be"),
        ({"text_layers": ()}, "text layers"),
    ):
        with pytest.raises(fl.ModelError, match=says):
            fl.load(folder, **more)


def test_every_known_name_has_a_hub_id_a_class_and_a_licence(monkeypatch):
    asked = []

    def refuse(hub_id, revision):
        asked.append((hub_id, revision))
        raise fl.ModelError("offline")

    monkeypatch.setattr(loading, "download", refuse)
    for name, known in KNOWN.items():
        with pytest.raises(fl.ModelError, match="offline"):
            fl.load(name, revision="abc")
        assert asked[-1] == (known.hub_id, "abc")
        assert hasattr(diffusers, known.pipeline)
        assert known.licence
