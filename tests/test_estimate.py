"""What a study takes before it runs, against what the authors' schedule and verdicts add up to."""

from __future__ import annotations

import doctest
import importlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fluxlens import cli
from fluxlens.cli import main
from fluxlens.judge.prices import load_prices
from fluxlens.study.asked import asked
from fluxlens.study.cells import choose
from fluxlens.study.costs import Costs, transformer_flops
from fluxlens.study.estimate import gpus, make_estimate
from fluxlens.study.flops import Flops
from fluxlens.study.judging import judging
from fluxlens.study.plan import make_plan
from fluxlens.study.shapes import configurations, model_shape
from fluxlens.study.sizes import FILE, Size, Sizes, patches, table
from fluxlens.tasks import FAMILIES, Assets, mini_tasks

# As the authors' released drivers run it: calls with and without reference, forwards, PFLOP.
RELEASED = {
    ("t2i_lens", "style"): (900, 3150, 2250, 9900, 1029),
    ("t2i_lens", "people"): (180, 450, 450, 1260, 168),
    ("t2i_lens", "add"): (1578, 3945, 3945, 11046, 738),
    ("t2i_lens", "remove"): (1452, 3630, 3630, 10164, 673),
    ("color_lens", "color"): (320, 960, 320, 960, 124),
    ("attention_knockout", "color"): (1600, 320, 6400, 1280, 1128),
    ("attention_knockout", "style"): (2250, 450, 9000, 1800, 1263),
    ("attention_knockout", "people"): (450, 90, 1800, 360, 317),
    ("i2i_patch", "color"): (2240, 448, 8960, 1792, 1580),
    ("i2i_patch", "style"): (2250, 450, 9000, 1800, 1382),
    ("i2i_patch", "people"): (2250, 450, 9000, 1800, 1587),
}
# And "minimum to obtain every judged image": forwards, PFLOP.
MINIMUM = {
    "edit": (5440, 777), "capture": (1515, 117), "lenses and generations": (20680, 1117),
    "attention_knockout": (13760, 1960), "i2i_patch": (16176, 2503),
}  # fmt: skip


@cache
def whole(name: str = "klein-9b"):
    return make_estimate(
        make_plan("mini", choose()),
        model_shape(name),
        Sizes("paper", standing_in=True),
        tflops=400,
        price=load_prices().of("claude-opus-4-7"),
    )


class Blocks(Costs):
    """As ``RELEASED`` is counted: nothing before and behind the blocks."""

    def forward(self, size: Size, edit: bool = True, **how: Any) -> Flops:
        made = super().forward(size, edit, **how)
        return Flops(made.linear, made.attention)


def test_the_released_schedule_is_the_published_one_cell_by_cell():
    found = {
        (cell.recipe, cell.family): (
            cell.edits, cell.generations, cell.edit_forwards, cell.generation_forwards,
            round(cell.blocks / 1e15),
        )
        for cell in whole().released
    }  # fmt: skip
    assert found == RELEASED
    assert [sum(c) for c in list(zip(*found.values(), strict=True))[:4]] == [
        15470, 14343, 54755, 42162,
    ]  # fmt: skip
    assert round(sum(cell.blocks for cell in whole().released) / 1e15) == 9989


def test_sharing_alone_leaves_the_published_minimum():
    plan, sizes = make_plan("mini", choose()), Sizes("paper", standing_in=True)
    work = transformer_flops(plan, sizes, Blocks(model_shape("klein-9b"), shared_only=True))
    forwards = {recipe: count for recipe, (_, count) in plan.counts().items()}
    for parts in (work, forwards):
        lenses = [parts.pop(name) for name in ("t2i_lens", "color_lens", "generation")]
        parts["lenses and generations"] = sum(lenses)
    assert forwards == {name: count for name, (count, _) in MINIMUM.items()}
    assert {name: round(flops / 1e15) for name, flops in work.items()} == {
        name: flops for name, (_, flops) in MINIMUM.items()
    }
    assert round(sum(work.values()) / 1e15) == 6474


@pytest.mark.parametrize("name", ["klein-9b", "klein-4b"])
def test_fluxlens_takes_less_than_sharing_alone_and_than_the_authors(name):
    estimate = whole(name)
    assert estimate.total.transformer < estimate.shared_only
    assert 0.61 < estimate.counted / estimate.released_counted < 0.63
    assert estimate.flops == pytest.approx(sum(line.flops for line in estimate.lines))
    assert estimate.hours == pytest.approx(estimate.flops / 400e12 / 3600)
    assert (estimate.total.images, estimate.total.forwards) == (14494 + 843, 57571)


def test_captures_of_scenes_end_at_a_quarter_of_the_forward():
    """8 of 32 blocks, of 1,515 one-step captures that would otherwise be 117 PFLOP."""
    (capture,) = (line for line in whole().lines if line.recipe == "capture")
    assert 0.25 * 117 <= capture.transformer / 1e15 <= 0.25 * 118


def test_judging_takes_the_published_calls_tokens_and_dollars():
    bill = whole().total.bill
    assert bill.calls == 10759
    assert bill.input_tokens == pytest.approx(49_221_724, rel=0.01)
    assert bill.output_tokens == pytest.approx(559_132, rel=0.01)
    assert bill.dollars == pytest.approx(260, rel=0.01)
    assert bill.batch == pytest.approx(bill.dollars / 2)
    assert bill.batch < bill.cached < bill.dollars
    assert {line.recipe: line.bill.calls for line in whole().lines if line.bill.calls} == {
        "t2i_lens": 2955, "color_lens": 320, "i2i_patch": 4044, "attention_knockout": 3440,
    }  # fmt: skip


def test_extras_and_null_controls_are_priced_as_they_are_judged():
    plan = make_plan("mini", choose(extras=["variants", "controls", "nulls"]))
    price, sizes = load_prices().of("claude-opus-4-7"), Sizes("mini")
    bills = judging(plan, sizes, price, nulls=True).values()
    extras = sum(len(one.items(Path(), "mini")) for one in asked().values())
    assert extras > 0
    assert sum(bill.calls for bill in bills) == 2 * 10759 + extras


def test_a_cache_saves_nothing_where_a_question_stands_alone():
    price = load_prices().of("claude-opus-4-7")
    sizes = Sizes("paper", standing_in=True)
    alone = make_plan("mini", choose(["i2i_unc_add", "i2i2i_color"]))
    bill = make_estimate(alone, model_shape("klein-4b"), sizes, tflops=1, price=price).total.bill
    assert (bill.calls, bill.cached) == (789 + 448, bill.dollars)


def test_tokens_of_a_picture_to_a_judge_are_those_of_the_authors_verdicts():
    assert patches(1024, 1024) == 1369
    assert patches(1872, 2368) == 4758  # the largest reference, capped


def test_the_shipped_sizes_are_those_of_the_clone(data):
    """Families of the clone that are whole, and the numbers of prompts and references of all."""
    assert table(Assets(data)) == FILE.read_text(encoding="utf-8")


def test_with_a_clone_the_price_is_the_same(data):
    assets = Assets(data)
    plan = make_plan("paper", choose(), assets=assets)
    found = make_estimate(
        plan, model_shape("klein-9b"), Sizes("paper", assets), tflops=400,
        price=load_prices().of("claude-opus-4-7"),
    )  # fmt: skip
    for one, other in zip(found.lines, whole().lines, strict=True):
        assert (one.recipe, one.images, one.forwards) == (
            other.recipe, other.images, other.forwards,
        )  # fmt: skip
        assert one.flops == pytest.approx(other.flops, rel=1e-9)
        assert one.bill.dollars == pytest.approx(other.bill.dollars, rel=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_sizes_of_a_family_are_shares_of_one(family):
    mix = Sizes.of_family(family)
    assert mix.mean(lambda size: 1) == pytest.approx(1)
    task = mini_tasks(family)[0]
    assert Sizes("paper", standing_in=True).of(task) is mix
    (own,) = Sizes("mini").of(task).sizes
    assert (own.image, own.ref) == (36, 36)


def test_mean_reference_lengths_are_the_published_ones():
    found = [round(Sizes.of_family(f).mean(lambda s: s.image + s.ref + 512)) for f in FAMILIES]
    assert found == [8704, 7058, 7814, 8704, 8704, 4411, 4378]


# ---- the command ---------------------------------------------------------------------------------


def run(capsys, *words: str):
    code = cli.main(["estimate", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prices_klein_without_weights(capsys, monkeypatch):
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    code, out, _ = run(capsys, "--model", "klein-9b", "--gpu", "h100", "--format", "json")
    found = json.loads(out)
    assert code == 0
    assert found["total_flops"] == pytest.approx(whole().flops, rel=1e-12)
    assert found["total_flops"] == pytest.approx(sum(r["flops"] for r in found["recipes"]))
    assert found["tflops"] == pytest.approx(0.4 * gpus()["h100"].tflops)
    assert found["sizes"] == "shipped"
    assert found["authors_tflops"] == pytest.approx(154, abs=0.5)
    assert {r["recipe"] for r in found["recipes"]} == {
        "text", "reference", "capture", "edit", "t2i_lens", "color_lens", "i2i_patch",
        "attention_knockout", "generation",
    }  # fmt: skip
    keys = ("images", "forwards", "hours", "disk_bytes", "judge_calls", "input_tokens", "dollars")
    for key in keys:
        assert sum(r[key] for r in found["recipes"]) == pytest.approx(found[key], rel=1e-6, abs=5)
    assert sum(cell["calls"] for cell in found["released"]["cells"]) == 29813


def test_the_command_says_it_in_a_table(capsys, monkeypatch):
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    code, out, _ = run(capsys, "--model", "klein-4b", "--gpu", "a100", "--tflops", "200")
    assert code == 0
    assert "klein-4b on one a100 that sustains 200 TFLOP/s, 64% of its peak" in out
    (total,) = (line for line in out.splitlines() if line.startswith("in all"))
    assert {"57,571", "10,759"} <= set(total.split())
    assert "29,813 calls" in out
    assert "H200-hours" not in out  # those were of the 9B model


def test_a_folder_is_priced_by_its_configurations_alone(capsys, tmp_path):
    small = {"num_layers": 2, "num_single_layers": 3, "num_attention_heads": 2,
             "attention_head_dim": 16}  # fmt: skip
    config = configurations()["klein-4b"]
    config["transformer"] |= small
    for part in ("transformer", "text_encoder", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config.get(part, {})))
    (tmp_path / "fluxlens.json").write_text(json.dumps({"name": "small", "text_layers": [1, 2]}))
    words = ["--model", str(tmp_path), "--world", "mini", "--family", "color", "--limit", "2"]
    code, out, _ = run(capsys, *words, "--format", "json")
    found = json.loads(out)
    assert (code, found["model"], found["sizes"]) == (0, "small", "tasks")
    assert found["judge_calls"] == 2 + 4 * 2 + 3 * 2
    work = {line["recipe"]: line["transformer_flops"] for line in found["recipes"]}
    assert 0 < work["color_lens"] < work["edit"] < work["attention_knockout"]
    (tmp_path / "vae" / "config.json").unlink()
    code, _, err = run(capsys, *words)
    assert code == 1
    assert "config.json cannot be read" in err


def test_other_tables(capsys, monkeypatch):
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    code, out, _ = run(capsys, "--model", "klein-9b", "--ratios", "--format", "json")
    assert code == 0
    assert json.loads(out)["recipes"][0]["ratio"] == 1
    code, out, _ = run(capsys, "--model", "klein-9b", "--released", "--family", "people")
    assert code == 0
    assert out.splitlines()[-1].split()[:4] == ["in", "all", "2,880", "990"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--gpu", "abacus"], "no GPU 'abacus'; there are h100"),
        (["--model", "klein-90b"], "'klein-90b' is not known here; there are klein-9b"),
        (["--tflops", "0"], "a rate is above 0 TFLOP/s"),
        (["--judge", "oracle-0"], "no price is known for 'oracle-0'"),
        (["--cells", "nothing"], "'nothing'"),
        (["--available"], "name a clone"),
    ],
)
def test_a_wrong_word_is_one_clear_line(capsys, monkeypatch, words, said):
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    code, out, err = run(capsys, "--model", "klein-9b", *words)
    assert (code, out) == (1, "")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("module", ["flops", "encoders", "shapes", "sizes", "ratios"])
def test_the_examples_run(module):
    loaded = importlib.import_module(f"fluxlens.study.{module}")
    names = {**vars(loaded), "model_shape": model_shape}
    assert doctest.testmod(loaded, extraglobs=names).failed == 0


def test_true_guidance_doubles_what_a_step_takes():
    """A base model is the distilled one's configuration, more steps, and two forwards in each."""
    plan = make_plan("mini", choose(["ko_color_ref_to_image"]), limit=1)
    one, base = model_shape("klein-4b"), model_shape("klein-base-4b")
    assert base.transformer == one.transformer
    fitted, size = plan.fitted(base.sampling), Size(1024, 1024, ref=4096, patches=1369)
    assert fitted.forwards == 2 * 50 / 4 * plan.forwards
    edit, cut = sorted(plan, key=lambda picture: picture.treatment.order)
    few, many = Costs(one), Costs(base)
    assert many.own(edit, size) == 2 * 50 / 4 * few.own(edit, size)
    # the second pass of a step is not cut
    assert many.own(cut, size) == 50 / 4 * (few.own(cut, size) + few.own(edit, size))


@pytest.mark.parametrize("model", ["flux2-dev", "kontext-dev", "Qwen/Qwen-Image-Edit-2509"])
def test_a_family_that_is_not_counted_says_so(model, capsys):
    assert main(["estimate", "--model", model]) != 0
    said = capsys.readouterr().err
    assert f"what a forward of '{model}' takes is not known yet" in said
    assert "fluxlens plan" in said


def test_a_base_model_has_no_released_schedule(capsys):
    assert main(["estimate", "--model", "klein-base-9b", "--limit", "1"]) == 0
    said = capsys.readouterr().out
    assert "50, of 2 forwards; rows run one by one" in said
    assert "released" not in said
    assert main(["estimate", "--model", "klein-base-9b", "--released"]) != 0
    assert "leave out --released" in capsys.readouterr().err
