"""The explorer: every picture once, every place in the table, the right one in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import browser
import numpy as np
import pytest
from PIL import Image

from fluxlens import figures
from fluxlens.figures import Frame

EVIL = '</script><script>alert("x")</script> & "more"'
TASKS = (
    "draw a mug in this color",
    "the person in this image, in the mountains, far from any road",
)
BLOCKS = ("double.0", "double.1", "single.0", "single.1")
CUTS = ("none", "ref->text[padding]", "ref->image")
LENS, KNOCKOUT = "T2I Lens", "attention knockout"
OVER = {KNOCKOUT: "cut"}
WHITE = Image.new("RGB", (96, 96), "white")


def shade(task: str, recipe: str, setting: str) -> tuple[int, int, int]:
    """A color for every place, at least 40 levels from all others."""
    names = BLOCKS if recipe == LENS else CUTS
    return 40 + 60 * TASKS.index(task), 40 + 60 * (recipe == LENS), 20 + 60 * names.index(setting)


def frame(task: str, recipe: str, setting: str) -> Frame:
    result = Image.new("RGB", (96, 96), shade(task, recipe, setting))
    pictures = {"reference": WHITE, "edit": WHITE.copy(), "result": result}
    return Frame(task, recipe, setting, pictures, setting == "double.1")


FRAMES = [frame(task, LENS, block) for task in TASKS for block in BLOCKS]
FRAMES += [frame(task, KNOCKOUT, cut) for task in TASKS for cut in CUTS]


def table(html: str) -> dict:
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    return json.loads(found)


def stored(html: str) -> list[str]:
    return re.findall(r'src="(data:image/webp;base64,[^"]+)"', html)


def middle(uri: str) -> tuple[int, ...]:
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    return tuple(np.asarray(image.convert("RGB"))[48, 48].tolist())


def test_equal_pictures_are_stored_once_and_every_place_finds_its_own():
    html = figures.explorer(FRAMES, "mini", OVER).html
    uris = stored(html)
    assert len(uris) == len(set(uris)) == len(FRAMES) + 1
    listed = table(html)["frames"]
    assert [(f["task"], f["recipe"], f["setting"]) for f in listed] == [
        (f.task, f.recipe, f.setting) for f in FRAMES
    ]
    for place, wanted in zip(listed, FRAMES, strict=True):
        shown = {name: middle(uris[n]) for name, n in place["pictures"]}
        assert list(shown) == ["reference", "edit", "result"]
        assert shown["reference"] == shown["edit"] == (255, 255, 255)
        color = shade(wanted.task, wanted.recipe, wanted.setting)
        assert np.abs(np.subtract(shown["result"], color)).max() <= 4
        assert place["over"] == ("cut" if wanted.recipe == KNOCKOUT else "block")
        assert place["marked"] == (wanted.setting == "double.1")


def test_every_stored_picture_says_where_it_belongs():
    frames = [
        Frame("a mug", "lens", "double.0", {"reference": WHITE, "result": WHITE}),
        *(frame(TASKS[0], LENS, block) for block in BLOCKS),
        *(frame(TASKS[0], KNOCKOUT, cut) for cut in CUTS),
    ]
    html = figures.explorer(frames, "mini", OVER).html
    first, second, *_, last = re.findall(r'alt="([^"]*)"', html)
    task = TASKS[0]
    everywhere = ["reference: a mug", "result: a mug", f"reference: {task}", f"edit: {task}"]
    assert first == ". ".join(everywhere)
    assert second == f"result: {task}; T2I Lens, block double.0"
    assert last == f"result: {task}; attention knockout, cut ref-&gt;image"
    assert html.count(f">{first}</div>") == 1


def test_text_stays_text_and_the_bytes_stay_the_same():
    def made() -> figures.Html:
        evil = Frame(EVIL, EVIL, EVIL, {EVIL: WHITE})
        return figures.explorer([evil], EVIL, {EVIL: EVIL}, caption=EVIL)

    html = made().html
    assert html == made().html
    assert html.count("<script") == html.count("</script>") == 2
    assert table(html)["model"] == table(html)["frames"][0]["setting"] == EVIL
    outside = re.sub(r"<(script|style)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert "alert" in outside
    assert "<script" not in outside
    assert "http" not in html


def test_it_prints_what_it_holds():
    made = figures.explorer(FRAMES[:4], "mini")
    assert repr(made).splitlines() == [
        "explorer of mini: 4 settings, 5 different pictures",
        f"{TASKS[0]}; T2I Lens, block: double.0, double.1 (binding block), single.0, single.1",
    ]


def test_a_budget_is_kept_or_named():
    noise = np.random.default_rng(0).integers(0, 256, (4, 320, 320, 3), dtype=np.uint8)
    frames = [Frame("t", "r", str(n), {"x": Image.fromarray(a)}) for n, a in enumerate(noise)]
    with pytest.raises(ValueError, match=r"0\.\d\d MB, more than .* 0\.10 MB: 4 pictures .*side="):
        figures.explorer(frames, "mini", budget=100_000)
    small = figures.explorer(frames, "mini", side=64, quality=50, budget=100_000)
    assert len(small.html.encode()) <= 100_000


@pytest.mark.parametrize(
    ("frames", "over", "words"),
    [
        ([], {}, "at least one frame"),
        ([FRAMES[0], FRAMES[0]], {}, "two frames for .*'double.0'"),
        ([Frame("t", "r", "double.0", {})], {}, "'double.0' has no pictures"),
        ([FRAMES[0]], {"lens": "block"}, "over names 'lens'; recipes are 'T2I Lens'"),
    ],
)
def test_what_cannot_be_shown_is_refused(frames, over, words):
    with pytest.raises(ValueError, match=words):
        figures.explorer(frames, "mini", over)


# --- in a browser -------------------------------------------------------------------------------

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>explorers</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body>{}</body></html>"""
SHOWN = """Array.from(document.querySelectorAll(".fluxlens-explorer")).map((root) => {
  const images = Array.from(root.querySelectorAll(".fluxlens-shown img"));
  const colors = images.map((img) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.drawImage(img, 0, 0);
    return Array.from(canvas.getImageData(40, 40, 1, 1).data).slice(0, 3);
  });
  return {
    colors, alts: images.map((img) => img.alt),
    said: root.querySelector("[aria-live]").textContent,
    value: root.querySelector("input").getAttribute("aria-valuetext"),
    marks: root.querySelectorAll(".fluxlens-ticks .fluxlens-mark").length,
    ends: root.querySelector(".fluxlens-ends").textContent,
  };
})"""
# JupyterLab fills a detached element and makes its scripts anew, since innerHTML runs none.
AS_JUPYTERLAB_DOES = """((html) => {
  const host = document.createElement("div");
  host.innerHTML = html;
  host.querySelectorAll("script").forEach((old) => {
    const made = document.createElement("script");
    for (const { name, value } of old.attributes) made.setAttribute(name, value);
    made.textContent = old.textContent;
    old.replaceWith(made);
  });
  document.body.replaceChildren(host);
})(%s)"""


@pytest.fixture(scope="module")
def chromium():
    if browser.find() is None:
        pytest.skip("no Chromium here: install one, or name it in $CHROMIUM")
    with browser.Browser.start() as running:
        yield running


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A page with two explorers: everything, and a single sweep."""
    path = tmp_path_factory.mktemp("page") / "index.html"
    both = [figures.explorer(FRAMES, "mini", OVER), figures.explorer(FRAMES[4:8], "other")]
    path.write_text(PAGE.format("".join(made.html for made in both)), encoding="utf-8")
    return path


def focus(page: browser.Page, element: str) -> None:
    page.evaluate(f"document.querySelector('.fluxlens-explorer {element}').focus()")


def check(shown: dict, model: str, task: str, recipe: str, setting: str) -> None:
    reference, edit, result = shown["colors"]
    assert reference == edit == [255, 255, 255]
    assert np.abs(np.subtract(result, shade(task, recipe, setting))).max() <= 4
    place = f"{OVER.get(recipe, 'block')} {setting}"
    place += " (binding block)" if setting == "double.1" else ""
    assert shown["said"] == f"{model} · {task} · {recipe} · {place}"
    assert shown["value"] == place
    assert shown["alts"][2] == f"result: {task}; {recipe}, {place}"


def test_keys_move_one_explorer_and_leave_the_other(chromium, two):
    page = chromium.page()
    page.open(two.as_uri())
    first, second = page.evaluate(SHOWN)
    check(first, "mini", TASKS[0], LENS, "double.1")
    check(second, "other", TASKS[1], LENS, "double.1")
    assert (first["marks"], first["ends"]) == (1, "double.0▲ binding block double.1single.1")
    focus(page, "input")
    for key, setting in (("ArrowRight", "single.0"), ("End", "single.1"), ("Home", "double.0")):
        page.press(key)
        check(page.evaluate(SHOWN)[0], "mini", TASKS[0], LENS, setting)
    focus(page, "select")
    page.press("ArrowDown")
    check(page.evaluate(SHOWN)[0], "mini", TASKS[1], LENS, "double.0")
    focus(page, "label:nth-of-type(2) select")
    page.press("ArrowDown")
    first, unmoved = page.evaluate(SHOWN)
    check(first, "mini", TASKS[1], KNOCKOUT, "none")
    assert first["marks"] == 0
    assert unmoved == second
    focus(page, "input")
    page.press("ArrowRight")
    check(page.evaluate(SHOWN)[0], "mini", TASKS[1], KNOCKOUT, "ref->text[padding]")
    assert page.problems() == []
    assert page.requests() == [two.as_uri()]


def test_every_control_has_a_name_and_only_choices_are_offered(chromium, two):
    page = chromium.page()
    page.open(two.as_uri())
    named = """Array.from(document.querySelectorAll(".fluxlens-explorer")).map((root) =>
      Array.from(root.querySelectorAll("select, input")).filter((e) => e.offsetParent)
        .map((e) => e.labels[0].firstChild.textContent))"""
    block = "block double.1 (binding block)"
    assert page.evaluate(named) == [["task", "recipe", block], [block]]


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_runs_over_the_edge_of_a_phone(chromium, two, dark):
    page = chromium.page(width=360, dark=dark)
    page.open(two.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.querySelectorAll('.fluxlens-shown img').length") == 6
    widths = "Array.from(document.querySelectorAll('.fluxlens-shown img'), (e) => e.clientWidth)"
    assert min(page.evaluate(widths)) >= 90


def test_without_scripts_all_pictures_stand_in_a_grid(chromium, two):
    page = chromium.page(width=360)
    page.open(two.as_uri(), scripts=False)
    visible = "Array.from(document.querySelectorAll('%s')).filter((e) => e.offsetParent).length"
    assert page.evaluate(visible % "img") == len(FRAMES) + 1 + 5
    assert page.evaluate(visible % "select, input") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_it_lives_where_jupyterlab_puts_it(chromium, two):
    page = chromium.page()
    page.open("about:blank")
    html = figures.explorer(FRAMES, "mini", OVER).html
    page.evaluate(AS_JUPYTERLAB_DOES % json.dumps(html))
    page.evaluate("Promise.all(Array.from(document.images, (img) => img.decode()))")
    check(page.evaluate(SHOWN)[0], "mini", TASKS[0], LENS, "double.1")
    assert page.problems() == []
