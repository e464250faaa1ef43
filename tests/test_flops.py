"""The formulas of operations against torch's counter over the stock modules, and klein's counts."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import pytest
import tiny
import torch
from conftest import picture
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from helpers import PROMPT, call_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

import fluxlens as fl
from fluxlens.core import Watch
from fluxlens.mini import architecture
from fluxlens.models import KNOWN
from fluxlens.pipelines import adapt, rows_of, sample
from fluxlens.study.encoders import TextCost, VaeCost
from fluxlens.study.flops import Tokens, TransformerCost
from fluxlens.study.ratios import GOALS, ratios
from fluxlens.study.shapes import configurations, model_shape

EDIT = Tokens(text=512, image=4096, ref=4096)
SMALL = {
    "in_channels": 16, "num_layers": 2, "num_single_layers": 3, "attention_head_dim": 16,
    "num_attention_heads": 3, "joint_attention_dim": 40, "mlp_ratio": 2.5,
    "timestep_guidance_channels": 32, "axes_dims_rope": (4, 4, 4, 4), "guidance_embeds": False,
}  # fmt: skip


def tera(flops: float) -> str:
    return f"{flops / 1e12:.1f}"


def counted(run) -> int:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def stock(config):
    with torch.device("meta"):
        return Flux2Transformer2DModel(**config).eval()


def forward(transformer, tokens: Tokens) -> int:
    config, rows = transformer.config, tokens.image + tokens.ref
    return counted(
        lambda: transformer(
            hidden_states=torch.empty(1, rows, config.in_channels),
            encoder_hidden_states=torch.empty(1, tokens.text, config.joint_attention_dim),
            timestep=torch.empty(1),
            img_ids=torch.empty(rows, 4),
            txt_ids=torch.empty(tokens.text, 4),
            guidance=None,
        )
    )


# ---- the published numbers of the 9B model -------------------------------------------------------


def test_a_forward_of_an_edit_and_of_a_generation_are_the_published_ones():
    klein = model_shape("klein-9b").transformer
    edit, generation = klein.forward(EDIT), klein.forward(EDIT.without_refs())
    assert [tera(x) for x in (edit.linear, edit.attention, edit.blocks)] == [
        "121.5",
        "39.7",
        "161.2",
    ]
    assert [tera(x) for x in (generation.linear, generation.attention)] == ["64.3", "11.1"]
    assert tera(generation.blocks) == "75.5"
    assert edit.ends < 5e-4 * edit.blocks
    assert f"{klein.weights / 1e6:.1f} {klein.parameters / 1e9:.2f}" == "218.1 9.08"


@pytest.mark.parametrize(("cut", "published"), [("ref->text", 38.6), ("ref->image", 30.9)])
def test_attention_under_a_knockout_is_the_published_one(cut, published):
    klein = model_shape("klein-9b").transformer
    assert tera(klein.forward(EDIT, cut=(cut,)).attention) == str(published)


def test_dropping_the_reference_saves_what_is_published():
    klein = model_shape("klein-9b").transformer
    whole = klein.forward(EDIT).blocks
    for after, saved in (("double.7", 40), ("single.9", 23)):
        left = klein.forward(EDIT, ref_until=after).blocks
        assert round(100 * (1 - left / whole)) == saved


def test_text_encoding_is_the_published_one():
    text = model_shape("klein-9b").text
    whole, read = text.encode(512), text.encode(512, layers=27)
    assert 7.7 < (whole.linear + whole.ends) / 1e12 < 7.8
    assert tera(read.linear) == "5.3"
    assert f"{29813 * (whole.linear + whole.ends) / 1e15:.0f}" == "231"


def test_every_recipe_stays_within_its_goal_at_9b():
    found = [row for row in ratios(model_shape("klein-9b")) if row.goal is not None]
    assert len(found) == len(GOALS) == 5
    assert all(row.ratio <= row.goal for row in found)


# ---- against the counter -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokens", [Tokens(7, 24), Tokens(5, 12, 20), Tokens(33, 1, 0), Tokens(1, 64, 9)]
)
def test_a_forward_is_what_the_counter_counts(tokens):
    assert TransformerCost.of(SMALL).forward(tokens).total == forward(stock(SMALL), tokens)


@pytest.mark.parametrize(
    ("name", "tokens"), [("klein-9b", EDIT), ("klein-4b", Tokens(512, 55 * 73, 41 * 50))]
)
def test_klein_on_the_meta_device_is_what_the_counter_counts(name, tokens):
    transformer, cost = stock(configurations()[name]["transformer"]), model_shape(name).transformer
    assert cost.forward(tokens).total == forward(transformer, tokens)
    weights = sum(p.numel() for p in transformer.parameters())
    assert 0 <= weights - cost.parameters < 1e-4 * weights  # the norms'


@pytest.mark.parametrize("name", ["klein-9b", "klein-4b"])
@pytest.mark.parametrize("cut", [None, "ref->image", "ref->text[padding]"])
def test_a_study_s_forward_of_klein_on_the_meta_device(name, cut):
    """With a knockout that needs no mask, as it really runs."""
    config = configurations()[name]["transformer"]
    pipe = tiny.build(tiny.Shape(latents=config["in_channels"] // 4))
    pipe.transformer = stock(config)
    layers = (1,) * (
        config["joint_attention_dim"] // tiny.Shape().text_width
    )  # as many as it reads
    flux = fl.Editor(pipe, adapt(pipe, text_layers=layers))
    layout = flux.layout(PROMPT, picture(1024, 1024), 1024, 1024)
    tokens = replace(EDIT, content=len(layout.positions("text[content]")))
    assert (layout.text, layout.length) == (tokens.text, tokens.length)

    def run():
        knockout = flux.knockout(cut) if cut else nullcontext()
        batch = Watch.of(flux).batch(layout, rows=(0,), total=1, schedule=(1.0,))
        with knockout, batch:
            (made,) = pipe.transformer(**call_of(flux, layout, device="meta"))
        assert made.shape == (1, 8192, config["in_channels"])

    expected = model_shape(name).transformer.forward(tokens, cut=(cut,) if cut else ())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    assert counter.get_total_flops() == expected.total


def test_minis_own_parts_are_what_the_counter_counts():
    with torch.device("meta"):
        transformer, vae = architecture.transformer().eval(), architecture.vae().eval()
    tokens = Tokens(architecture.CONFIG["text"]["max_sequence_length"], 36, 36)
    assert TransformerCost.of(transformer.config).forward(tokens).total == forward(
        transformer, tokens
    )
    picture = torch.empty(1, 3, 96, 96, device="meta")
    assert VaeCost.of(vae.config).encode(96 * 96) == counted(lambda: vae.encode(picture))


@pytest.mark.parametrize("name", ["klein-9b", "klein-4b"])
def test_the_text_encoders_on_the_meta_device_too(name):
    config = configurations()[name]["text_encoder"]
    with torch.device("meta"):
        model = Qwen3ForCausalLM(Qwen3Config(**{**config, "num_hidden_layers": 2})).eval()
    cost = TextCost.of({**config, "num_hidden_layers": 2})
    ids = torch.empty(1, 24, dtype=torch.long, device="meta")
    causal = {"full_attention": None}  # a mask of the tokens would have to be looked at
    run = lambda: model(input_ids=ids, attention_mask=causal, use_cache=False)  # noqa: E731
    assert cost.encode(24).total == counted(run)
    weights = sum(p.numel() for p in model.parameters())
    assert 0 <= weights - cost.parameters < 1e-4 * weights
    assert cost.encode(24, layers=1).total < cost.encode(24).total / 2


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"block_out_channels": (4, 8, 8, 16), "latent_channels": 3, "norm_num_groups": 2},
        {
            "block_out_channels": (4, 8, 8, 8), "decoder_block_out_channels": (8, 8, 16, 16),
            "layers_per_block": 1, "norm_num_groups": 2, "mid_block_add_attention": False,
        },
    ],
)  # fmt: skip
def test_the_vae_is_what_the_counter_counts(config):
    with torch.device("meta"):
        vae = AutoencoderKLFlux2(**config).eval()
    cost = VaeCost.of(config)
    picture = torch.empty(1, 3, 48, 80, device="meta")
    latents = torch.empty(1, vae.config.latent_channels, 6, 10, device="meta")
    assert cost.encode(48 * 80) == counted(lambda: vae.encode(picture))
    assert cost.decode(48 * 80) == counted(lambda: vae.decode(latents))


# ---- against the counter, over real runs under interventions -------------------------------------


@pytest.fixture
def under(flux, red):
    """Operations of the transformer of a tiny model in a real run, and the tokens of that run."""

    def run(make) -> int:
        counter = FlopCounterMode(display=False)
        with sdpa_kernel(SDPBackend.MATH), counter:
            make()
        return sum(counter.get_flop_counts()["Flux2Transformer2DModel"].values())

    layout = flux.layout(PROMPT, ref=red)
    image, ref = (layout.span(name) for name in ("image", "ref"))
    tokens = Tokens(layout.text, image[1] - image[0], ref[1] - ref[0], len(layout.texts[0].content))
    return run, TransformerCost.of(flux.pipe.transformer.config), tokens


def test_a_real_edit_and_generation(flux, red, under):
    run, cost, tokens = under
    made = run(lambda: flux.edit(PROMPT, red, steps=2))
    assert made == 2 * cost.forward(tokens).total
    made = run(lambda: flux.generate(PROMPT, height=96, width=96, steps=1))
    assert made == cost.forward(tokens.without_refs()).total


@pytest.mark.parametrize(
    "cut", ["ref->text", "ref->image", "ref->text[padding]", "ref->text[content]"]
)
def test_a_real_knockout(flux, red, under, cut):
    run, cost, tokens = under
    made = run(lambda: fl.attention_knockout(flux, PROMPT, red, cut=cut, steps=1))
    assert made == cost.forward(tokens, cut=(cut,)).total < cost.forward(tokens).total
    with flux.knockout(cut):
        assert run(lambda: flux.edit(PROMPT, red, steps=1)) == made


@pytest.mark.parametrize("after", ["none", "double.0", "double.1", "single.1", "single.2"])
def test_a_real_drop(flux, red, under, after):
    run, cost, tokens = under
    made = run(lambda: fl.drop_reference(flux, PROMPT, red, after=after, steps=1))
    assert made == cost.forward(tokens, cut=("ref->image",), ref_until=after).total


def test_a_real_lens_and_patch(flux, red, blue, under):
    run, cost, tokens = under
    block = flux.binding.style
    rows, _ = rows_of(flux, PROMPT, red, 0)

    def capture(steps: int):
        with flux.capture(block) as acts:
            sample(flux, rows, steps=steps, stop_after=block)
        return acts

    stopped = cost.forward(tokens, last=block).total
    edit = cost.forward(tokens).total
    generation = cost.forward(tokens.without_refs()).total
    assert run(lambda: capture(1)) == stopped
    assert run(lambda: capture(2)) == edit + stopped
    acts = capture(2)
    made = run(lambda: fl.t2i_lens(flux, PROMPT, red, steps=3, acts=acts))
    assert made == 3 * generation
    made = run(lambda: fl.i2i_patch(flux, PROMPT, red, blue, steps=2, acts=acts))
    assert made == 2 * edit


def test_a_folder_gives_the_shape_of_its_own_configuration(folders, flux):
    shape = model_shape(str(folders["two-three"]))
    assert shape.transformer == TransformerCost.of(flux.pipe.transformer.config)
    assert shape.name == "tiny-2-3"
    assert (shape.text_tokens, shape.text_layers) == (flux.max_sequence_length, flux.text_layers)
    assert shape.binding == vars(flux.binding)
    config = json.loads((folders["two-three"] / "vae" / "config.json").read_text())
    assert shape.vae == VaeCost.of(config)


def test_the_kleins_have_the_papers_blocks_and_their_hub_ids():
    blocks = {"klein-9b": ("double.7", "single.9"), "klein-4b": ("double.4", "single.7")}
    for name, (style, color) in blocks.items():
        shape = model_shape(name)
        assert shape.binding == {"style": style, "color": color}
        assert shape == model_shape(KNOWN[name].hub_id)


def test_unknown_blocks_edges_and_models_are_named():
    klein = model_shape("klein-4b").transformer
    with pytest.raises(ValueError, match=r"no block 'double.5'.*double.4"):
        klein.forward(EDIT, last="double.5")
    with pytest.raises(ValueError, match="cannot count the tokens of 'ref->sky'"):
        klein.forward(EDIT, cut=("ref->sky",))
    with pytest.raises(ValueError, match=r"klein-9b, klein-4b, .*mini"):
        model_shape("klein-90b")
