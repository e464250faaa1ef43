"""The live panel: its answers are the recipes' own, and what goes wrong is said, not thrown."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from helpers import PROMPT, same
from PIL import Image

import fluxlens as fl
from fluxlens import lab
from fluxlens.lab.pictures import drawing, opened, swatch
from fluxlens.lab.session import RECIPES, Request, Session, default_place, places
from fluxlens.mini.world import FAMILIES


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


# --- answers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(models):
    return Session(models["two-three"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_answer_is_what_its_call_says(session, flux, red, blue, recipe):
    place = places(flux, recipe)[-1]
    cut, tokens = "ref->text[padding], image->ref", "padding"
    answer = session.run(Request(PROMPT, red, recipe, place, tokens, cut, 3, blue))
    names = {"fl": fl, "editor": flux, "ref": red, "source": blue, "target": red}
    assert same(answer.pictures["result"], eval(answer.call, names).image)
    assert same(answer.pictures["edit"], flux.edit(PROMPT, ref=red, seed=3))
    assert answer.pictures["reference"] is red
    assert ("source" in answer.pictures) == (recipe == "I2I-to-I2I patching")
    for asked in (repr(place), "padding", "3", RECIPES[recipe].run.__name__):
        assert asked in answer.call or (asked == "padding" and recipe == "reference dropped")


def test_the_default_place_is_the_recipe_s_own(flux, red):
    for recipe in RECIPES:
        place = default_place(flux, recipe)
        assert place in places(flux, recipe)
        extra = {"source": red, "target": red} if RECIPES[recipe].pair else {"ref": red}
        run, slides = RECIPES[recipe].run, RECIPES[recipe].sweeps
        spelled, silent = run(flux, PROMPT, **extra, **{slides: place}), run(flux, PROMPT, **extra)
        assert spelled.record["interventions"] == silent.record["interventions"]


def test_the_baseline_of_a_sweep_is_made_once(session, flux, red):
    edits = [
        session.run(Request(PROMPT, red, "reference dropped", block, seed=11)).pictures["edit"]
        for block in flux.blocks[:2]
    ]
    assert edits[0] is edits[1]
    other = session.run(Request(PROMPT, red, "reference dropped", "none", seed=12))
    assert not same(other.pictures["edit"], edits[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"recipe": "lens"}, "recipes are T2I Lens"),
        ({"place": "double.9"}, "unknown block 'double.9'"),
        ({"prompt": "", "tokens": "content"}, "content"),
        ({"recipe": "attention knockout", "cut": "ref"}, "unknown edge 'ref'"),
        ({"recipe": "I2I-to-I2I patching"}, "second reference"),
    ],
)
def test_what_cannot_run_is_refused_with_words(session, red, change, words):
    asked = {"prompt": PROMPT, "reference": red, "recipe": "T2I Lens", "place": "double.0"}
    with pytest.raises(ValueError, match=words):
        session.run(Request(**{**asked, **change}))


def test_a_prompt_that_is_cut_off_is_mentioned(session, red):
    answer = session.run(Request("mug " * 60, red, "T2I Lens", "double.0"))
    assert len(answer.warnings) == 1
    assert "token" in answer.warnings[0]


# --- references -------------------------------------------------------------------------------


def test_a_swatch_is_one_color():
    assert swatch("#dc2828", 96).getcolors() == [(96 * 96, (220, 40, 40))]
    with pytest.raises(ValueError, match="mauvish"):
        swatch("mauvish", 96)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawing_follows_from_its_number(family):
    (one, prompt), (again, same_prompt), (other, _) = (drawing(family, n, 128) for n in (5, 5, 6))
    assert same(one, again)
    assert prompt == same_prompt
    assert prompt
    assert one.size == (128, 128)
    assert not same(one, other)


def test_a_file_is_cut_to_a_square_and_never_enlarged():
    wide = Image.new("RGB", (400, 200), "red")
    wide.paste("blue", (100, 0, 300, 200))
    small = opened(png(wide), 96)
    assert (small.size, small.getpixel((4, 48))) == ((96, 96), (0, 0, 255))
    assert opened(png(wide), 1024).size == (200, 200)
    assert opened(png(Image.new("RGBA", (64, 64))), 96).getpixel((0, 0)) == (255, 255, 255)
    for bad, words in ((b"GIF89a", "cannot be opened"), (png(wide.crop((0, 0, 9, 9))), "64")):
        with pytest.raises(ValueError, match=words):
            opened(bad, 96)


# --- the panel --------------------------------------------------------------------------------


@pytest.fixture
def panel(flux):
    pytest.importorskip("ipywidgets", reason="the panel's widgets come with the extra `lab`")
    return lab.explore(flux)


def upload(picker, content: bytes) -> None:
    picker.kind.value = "file"
    file = {"name": "x", "type": "image/png", "size": len(content), "content": memoryview(content)}
    picker.file.value = ({**file, "last_modified": datetime.now(UTC)},)


def visible(*widgets) -> list[bool]:
    return [widget.layout.display != "none" for widget in widgets]


def test_the_panel_runs_what_its_controls_say(panel, flux):
    assert panel.answer is None
    panel.recipe.value, panel.place.value = "attention knockout", "double.*"
    panel.cut.value, panel.seed.value = "ref->image", 7
    panel.button.click()
    red = swatch("#dc2828", flux.default_size)
    wanted = fl.attention_knockout(flux, PROMPT, red, 7, cut="ref->image", blocks="double.*")
    assert same(panel.answer.pictures["result"], wanted.image)
    page = panel.output.value
    assert page.count("<img") == 3
    for words in ("tiny-2-3", PROMPT, "attention knockout", "blocks double.*", "seed 7", " s<"):
        assert words in page
    assert not panel.button.disabled
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()


def test_only_what_a_recipe_reads_is_offered(panel, flux):
    controls = panel.tokens, panel.cut, panel.source.box
    seen = {}
    for name in RECIPES:
        panel.recipe.value = name
        seen[name] = visible(*controls)
        assert [value for _, value in panel.place.options] == list(places(flux, name))
        assert panel.place.value == default_place(flux, name)
    assert seen == {
        "T2I Lens": [True, False, False],
        "color lens": [True, False, False],
        "attention knockout": [False, True, False],
        "reference dropped": [False, False, False],
        "I2I-to-I2I patching": [True, False, True],
    }


def test_the_slider_marks_where_the_bindings_live(panel, flux):
    marked = {value: label.removeprefix(value) for label, value in panel.place.options}
    wanted = dict.fromkeys(flux.blocks, "")
    wanted[flux.binding.style] += " ▲ style"
    wanted[flux.binding.color] += " ▲ color"
    assert marked == wanted


def test_an_error_is_words_in_the_panel_and_the_next_run_is_fine(panel):
    panel.prompt.value, panel.tokens.value = "", "content"
    panel.button.click()
    assert panel.answer is None
    assert 'role="alert"' in panel.output.value
    assert "content" in panel.output.value
    assert "Traceback" not in panel.output.value
    assert not panel.button.disabled
    panel.recipe.value, panel.cut.value = "attention knockout", "<b>ref"
    panel.button.click()
    assert "&lt;b&gt;ref" in panel.output.value
    panel.prompt.value, panel.cut.value = PROMPT, "ref->text"
    panel.button.click()
    assert panel.answer
    assert 'role="alert"' not in panel.output.value


@pytest.fixture
def runs(panel):
    """A list that grows with every run: that is when the button is out of use."""
    seen: list[object] = []
    panel.button.observe(lambda change: seen.append(change) if change.new else None, "disabled")
    return seen


def test_every_change_runs_once_where_that_is_wanted(panel, runs):
    panel.seed.value = 1
    assert not runs
    panel.live.value = True
    assert len(runs) == 1
    panel.recipe.value = "reference dropped"  # which sets the slider too
    assert len(runs) == 2
    panel.place.value = "none"
    assert len(runs) == 3
    assert panel.answer.call.endswith("ref=ref, seed=1, after='none')")
    panel.live.value = False
    panel.seed.value = 2
    assert len(runs) == 3
    panel.live.value = True
    assert len(runs) == 4


def test_a_drawing_brings_its_instruction_and_another_is_another(panel, runs):
    panel.reference.family.value = "people"
    panel.live.value = True
    panel.reference.kind.value = "drawing"
    assert len(runs) == 2
    picture, prompt = drawing("people", 0, panel.editor.default_size)
    assert panel.prompt.value == prompt
    assert same(panel.answer.pictures["reference"], picture)
    panel.reference.another.click()
    assert same(panel.answer.pictures["reference"], drawing("people", 1, 96)[0])
    panel.reference.kind.value = "color"
    assert panel.reference.image.getpixel((0, 0)) == (220, 40, 40)


def test_an_uploaded_file_is_the_reference(panel, flux, blue):
    upload(panel.reference, b"no picture")
    assert "cannot be opened" in panel.reference.preview.value
    panel.button.click()
    assert "choose a reference" in panel.output.value
    upload(panel.reference, png(blue))
    panel.recipe.value = "I2I-to-I2I patching"
    panel.button.click()
    made = panel.answer.pictures
    assert np.array_equal(made["reference"], blue)
    assert made["source"].getpixel((0, 0)) == (40, 90, 220)
    wanted = fl.i2i_patch(flux, PROMPT, made["source"], blue, (1, 0))
    assert same(made["result"], wanted.image)
