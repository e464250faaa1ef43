"""Every instrument on every family: the paper's identities, and dense attention written out."""

from __future__ import annotations

import math
from contextlib import contextmanager

import families
import oracles
import pytest
import torch
from conftest import picture
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from helpers import PROMPT, same

import fluxlens as fl
from fluxlens.core import Watch

SETTINGS = {
    "klein": {"max_sequence_length": 40, "text_layers": (1, 2)},
    "klein-base": {"max_sequence_length": 40, "text_layers": (1, 2), "guidance": 3.0},
    "dev": {"max_sequence_length": 64, "text_layers": (1, 2, 3)},
    "dev-left": {"max_sequence_length": 64, "text_layers": (1, 2, 3)},
    "kontext": {"max_sequence_length": 40, "default_size": 96},
    "qwen-edit": {"guidance": 3.0},
    "qwen-edit-plus": {"guidance": 3.0},
}
NAMES = list(SETTINGS)
# Kontext's pooled vector of the prompt reaches every block beside the tokens
LENSES = [name for name in NAMES if families.FAMILIES[name].generates and name != "kontext"]
GENERATE = [name for name in NAMES if families.FAMILIES[name].generates]
GUIDED = [name for name in NAMES if len(families.FAMILIES[name].passes) > 1]
CLOSE = {"rtol": 1e-4, "atol": 3e-4}  # two kernels, several blocks apart


@pytest.fixture(scope="module", autouse=True)
def small_references():
    """Qwen's pipelines bring every reference to a megapixel; here, to a sixteenth of one."""
    whole = pipeline_qwenimage_edit.calculate_dimensions

    def small(area, ratio):
        return whole(area / 16, ratio)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline_qwenimage_edit, "calculate_dimensions", small)
        patch.setattr(
            pipeline_qwenimage_edit_plus, "calculate_dimensions", lambda a, r: small(a, r)[:2]
        )
        size = oracles.qwen_size
        patch.setattr(oracles, "qwen_size", lambda area, ref: size(area / 16, ref))
        yield


@pytest.fixture(scope="module")
def editors():
    """A tiny editor of each family, around a pipeline that the user holds."""
    out = {}
    for name, settings in SETTINGS.items():
        out[name] = fl.load(families.FAMILIES[name].build(0), steps=2, **settings)
    return out


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def editor(name, editors):
    yield editors[name]
    transformer = editors[name].pipe.transformer
    hooks = [h for m in transformer.modules() for h in (m._forward_hooks, m._forward_pre_hooks)]
    assert not any(hooks)
    assert not Watch.of(editors[name]).interventions
    assert "encode_prompt" not in vars(editors[name].pipe)


@pytest.fixture(scope="module")
def refs():
    """Two references of one size, which the families encode as they do."""
    return picture(96, 64, 3), picture(96, 64, 4)


def size(name):
    height, width = families.FAMILIES[name].size
    return {"height": height, "width": width}


@contextmanager
def outputs(editor):
    """Collects the transformer's outputs of a run."""
    seen: list[torch.Tensor] = []
    handle = editor.pipe.transformer.register_forward_hook(lambda m, a, out: seen.append(out[0]))
    try:
        yield seen
    finally:
        handle.remove()


def velocities(editor, run, steps=None):
    """What the transformer gives for the image's own tokens, forward by forward."""
    with outputs(editor) as seen:
        run()
    shortest = min(out.shape[1] for out in seen)
    return [out[:, :shortest].clone() for out in seen[:steps]]


def edit(editor, name, ref, **more):
    return editor.edit(PROMPT, ref, 0, **{**size(name), **more})


def agree(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        tokens = min(one.shape[1], other.shape[1])
        torch.testing.assert_close(one[:, :tokens], other[:, :tokens], **CLOSE)


def test_an_edit_is_the_stock_call(name, editor, refs):
    more = {"kontext": {"_auto_resize": False}}.get(name, {})
    stock = families.call(name, editor.pipe, PROMPT, refs[:1], **more).images[0]
    assert same(edit(editor, name, refs[0]), stock)


@pytest.mark.parametrize("name", GENERATE)
def test_both_edges_cut_is_a_generation(name, editor, refs):
    layout = editor.layout(PROMPT, refs[0], **size(name))
    tokens = layout.image[0] * layout.image[1]
    with editor.knockout(["ref->text", "ref->image"], passes="both" if name in GUIDED else "cond"):
        cut = velocities(editor, lambda: edit(editor, name, refs[0]))
    clean = velocities(editor, lambda: editor.generate(PROMPT, 0, **size(name)))
    agree([out[:, :tokens] for out in cut], [out[:, :tokens] for out in clean])
    plain = velocities(editor, lambda: edit(editor, name, refs[0]))
    assert any((a - b)[:, :tokens].abs().max() > 1e-3 for a, b in zip(plain, cut, strict=True))


@pytest.mark.parametrize("edges", ["ref->text", "ref->image", "text[content]->image", "image->ref"])
def test_a_knockout_is_a_dense_mask(name, editor, refs, edges):
    layout = editor.layout(PROMPT, refs[0], **size(name))
    source, reader = (layout.positions(side) for side in edges.split("->"))
    mask = oracles.cut(layout.length, (reader, source))
    closed = torch.where(mask, 0.0, -math.inf)
    passes = families.FAMILIES[name].passes

    def only_first(forward, block):  # the conditional pass of each step
        return closed if forward % len(passes) == 0 else torch.zeros(1, 1)

    with editor.knockout(edges):
        ours = velocities(editor, lambda: edit(editor, name, refs[0]))
    with editor.knockout(edges, attention="mask"):
        masked = velocities(editor, lambda: edit(editor, name, refs[0]))
    with oracles.attention(editor.pipe, only_first):
        theirs = velocities(editor, lambda: edit(editor, name, refs[0]))
    agree(ours, theirs)
    agree(masked, theirs)


def test_a_gain_of_some_heads_and_blocks_is_a_bias(name, editor, refs):
    layout = editor.layout(PROMPT, refs[0], **size(name))
    block, passes = editor.blocks[1], families.FAMILIES[name].passes
    bias = torch.zeros(1, 2, layout.length, layout.length)
    for amount, head, edge in ((2.5, 1, "ref->text"), (-1.5, 0, "text->image")):
        source, reader = (torch.tensor(layout.positions(side)) for side in edge.split("->"))
        bias[0, head, reader[:, None], source] += amount

    def there(forward, at):
        due = at == block and forward % len(passes) == 0
        return bias if due else torch.zeros(1, 1)

    with (
        editor.gain("ref->text", 2.5, blocks=block, heads=[1]),
        editor.gain("text->image", -1.5, blocks=block, heads=0),
    ):
        ours = velocities(editor, lambda: edit(editor, name, refs[0]))
    with oracles.attention(editor.pipe, there):
        theirs = velocities(editor, lambda: edit(editor, name, refs[0]))
    agree(ours, theirs)
    plain = velocities(editor, lambda: edit(editor, name, refs[0]))
    with editor.gain("ref->text", 0.0):
        assert all(
            torch.equal(a, b)
            for a, b in zip(
                plain, velocities(editor, lambda: edit(editor, name, refs[0])), strict=True
            )
        )


def test_what_is_read_are_the_kernels_weights(name, editor, refs):
    layout = editor.layout(PROMPT, refs[0], **size(name))
    source, reader = layout.positions("ref"), layout.positions("text[content]")
    with oracles.attention(editor.pipe, keep=True) as theirs:
        edit(editor, name, refs[0])
    with editor.attention("ref->text[content]", maps="readers") as ours:
        edit(editor, name, refs[0])
    each = len(families.FAMILIES[name].passes)
    for block in editor.blocks:
        for step in range(2):
            weights = theirs.probabilities[block][step * each][0][:, reader][:, :, source]
            place = block, step, 0
            torch.testing.assert_close(ours.weights[place], weights.sum(-1), **CLOSE)
            torch.testing.assert_close(ours.sources[place], weights.mean(0), **CLOSE)
    assert ours.grid(editor.blocks[0]).shape == layout.refs[0]


def test_a_run_patched_with_itself_is_itself(name, editor, refs):
    plain = velocities(editor, lambda: edit(editor, name, refs[0]))
    for tokens in ("text", "image", "ref"):
        with editor.capture(editor.blocks, tokens=tokens) as acts:
            edit(editor, name, refs[0])
        with editor.patch(acts):
            again = velocities(editor, lambda: edit(editor, name, refs[0]))
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True)), tokens


def test_patches_of_parts_make_the_patch_of_all(name, editor, refs):
    with editor.capture(editor.blocks[0], tokens="text") as acts:
        edit(editor, name, refs[0])
    layout = editor.layout(PROMPT, refs[1], **size(name))
    parts = [f"text[{part}]" for part in ("content", "template", "pad", "vision")]
    parts = [part for part in parts if _has(layout, part)]
    with editor.patch(acts):
        whole = velocities(editor, lambda: edit(editor, name, refs[1]))
    one, *others = (editor.patch(acts, part) for part in parts)
    with one:
        alone = velocities(editor, lambda: edit(editor, name, refs[1]))
        for other in others:
            other.__enter__()
        together = velocities(editor, lambda: edit(editor, name, refs[1]))
        for other in reversed(others):
            other.__exit__(None, None, None)
    assert all(torch.equal(a, b) for a, b in zip(whole, together, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(whole, alone, strict=True))


def _has(layout, region):
    try:
        return bool(layout.positions(region))
    except ValueError:
        return False


def test_text_after_the_last_block_is_read_by_nobody(name, editor, refs):
    last = editor.blocks[-1]
    with editor.capture(last, tokens="text") as acts:
        edit(editor, name, refs[0])
    plain = velocities(editor, lambda: edit(editor, name, refs[1]))
    with editor.patch(acts):
        patched = velocities(editor, lambda: edit(editor, name, refs[1]))
    assert all(torch.equal(a, b) for a, b in zip(plain, patched, strict=True))


def test_one_step_is_the_first_of_several(name, editor, refs):
    block = editor.blocks[1]
    with editor.capture(block, tokens="text") as short:
        edit(editor, name, refs[0], steps=1)
    with editor.capture(block, tokens="text") as long:
        edit(editor, name, refs[0], steps=3)
    torch.testing.assert_close(short[block, 0], long[block, 0], rtol=0, atol=0)


@pytest.mark.parametrize("at", [0, 1, -1])
def test_a_reference_dropped_is_a_reference_cut(name, editor, refs, at):
    block = editor.blocks[at]

    def run(**how):
        fl.drop_reference(editor, PROMPT, refs[0], 0, after=block, **how, **size(name))

    agree(velocities(editor, lambda: run()), velocities(editor, lambda: run(attention="mask")))
    if at == -1:  # text rows after the last block are read by nobody
        with editor.knockout("ref->image"):
            cut = velocities(editor, lambda: edit(editor, name, refs[0]))
        agree(velocities(editor, run), cut)


@pytest.mark.parametrize("name", LENSES)
def test_a_full_lens_does_not_see_its_prompt(name, editor, refs):
    block = editor.blocks[1]
    with editor.capture(block, tokens="text") as acts:
        edit(editor, name, refs[0], steps=1)
    runs = []
    for prompt in ("", "a bear on the beach"):
        with editor.patch(acts, into="context"):
            runs.append(velocities(editor, lambda p=prompt: editor.generate(p, 1, **size(name))))
    each = len(families.FAMILIES[name].passes)
    first, second = (run[::each] for run in runs)
    assert torch.equal(first[0], second[0])
    plain = velocities(editor, lambda: editor.generate("", 1, **size(name)))
    assert not torch.equal(plain[0], first[0])
    lens = fl.t2i_lens(editor, PROMPT, refs[0], 0, block=block, **size(name))
    assert lens.record["interventions"][0]["source"]["block"] == block


@pytest.mark.parametrize("name", GUIDED)
def test_passes_of_guidance(name, editor, refs):
    def run(passes):
        with editor.knockout("ref->image", passes=passes):
            return velocities(editor, lambda: edit(editor, name, refs[0], steps=1))

    plain = velocities(editor, lambda: edit(editor, name, refs[0], steps=1))
    cond, uncond, both = run("cond"), run("uncond"), run("both")
    assert not torch.equal(plain[0], cond[0])
    assert torch.equal(plain[1], cond[1])
    assert torch.equal(plain[0], uncond[0])
    assert not torch.equal(plain[1], uncond[1])
    assert torch.equal(both[0], cond[0])
    assert torch.equal(both[1], uncond[1])
    with editor.capture(editor.blocks[0], passes="uncond") as acts:
        edit(editor, name, refs[0])
    assert acts.steps == (0, 1)
    assert acts.layouts[0].texts[0].prompt == ("" if name == "klein-base" else " ")


@pytest.mark.parametrize("name", [n for n in NAMES if n not in GUIDED])
def test_a_pass_that_never_comes(name, editor, refs):
    with pytest.raises(fl.FiringError, match="uncond"), editor.capture("*", passes="uncond"):
        edit(editor, name, refs[0])


def test_rows_one_by_one_or_together_are_the_same(name, editor, refs):
    prompts, seeds = [PROMPT, "a bear"], [0, 7]
    together = fl.i2i_patch(
        editor,
        prompts,
        list(refs),
        list(refs[::-1]),
        [(seed, seed + 1) for seed in seeds],
        tokens="content",
        **size(name),
    )
    for n, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        alone = fl.i2i_patch(
            editor,
            prompt,
            refs[n],
            refs[1 - n],
            (seed, seed + 1),
            tokens="content",
            **size(name),
        )
        difference = torch.tensor(
            [[int(v) for v in image.tobytes()] for image in (together.image[n], alone.image)]
        )
        assert (difference[0] - difference[1]).abs().max() <= 1
        assert together.record[n]["interventions"] == alone.record["interventions"]


def test_regions_lie_where_the_pipeline_puts_them(name, editor, refs):
    layout = editor.layout(PROMPT, refs[0], **size(name))
    theirs = oracles.text_positions(
        editor.pipe, PROMPT, refs[:1], SETTINGS[name].get("max_sequence_length", 512)
    )
    for part in ("content", "template", "pad", "vision"):
        positions = list(getattr(theirs, part))
        if part == "vision":
            positions = [position for picture in positions for position in picture]
        if positions:
            assert layout.positions(f"text[{part}]") == positions
        else:
            with pytest.raises(ValueError, match=rf"text\[{part}\] is empty"):
                layout.mask(f"text[{part}]")
    mug = layout.positions('text["mug"]')
    assert mug
    assert set(mug) < set(layout.positions("text[content]"))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in GENERATE])
def test_what_a_family_has_no_meaning_for_is_refused(name, editor, refs):
    for run in (
        lambda: editor.generate(PROMPT),
        lambda: fl.t2i_lens(editor, PROMPT, refs[0]),
        lambda: fl.color_lens(editor, PROMPT, refs[0]),
        lambda: fl.i2i_patch(editor, PROMPT, *refs, baselines=True),
    ):
        with pytest.raises(ValueError, match="no text-to-image mode"):
            run()
    assert "vision-language encoder" in editor.record()["caveat"]


def test_more_references_than_a_family_reads(name, editor, refs):
    if families.FAMILIES[name].references == 1:
        with pytest.raises(ValueError, match=r"reads 1 reference\(s\) a row, not 2"):
            edit(editor, name, refs)
    else:
        with editor.knockout("ref[1]->image"):
            cut = velocities(editor, lambda: edit(editor, name, refs, steps=1))
        plain = velocities(editor, lambda: edit(editor, name, refs, steps=1))
        assert not torch.equal(cut[0], plain[0])


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("qwen")])
def test_saved_in_the_hubs_format_and_loaded(name, editors, refs, tmp_path):
    folder = families.save(tmp_path / name, name)
    loaded = fl.load(folder, steps=2, **SETTINGS[name])
    assert same(edit(loaded, name, refs[0]), edit(editors[name], name, refs[0]))
    assert loaded.revision.startswith("sha256:")


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("qwen")])
def test_without_torchvision_loading_says_so(name, tmp_path):
    folder = families.save(tmp_path / name, name)
    with pytest.raises(fl.ModelError, match="torchvision"):
        fl.load(folder)
