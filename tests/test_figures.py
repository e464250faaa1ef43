"""Figures: words for every picture, harmless captions, a picture a label, the same bytes twice."""

from __future__ import annotations

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from fluxlens import figures
from fluxlens.core import Layout, TextTokens, attention_mask
from fluxlens.results import wilson

EVIL = '<script>alert("x")</script> & "more"'
# 3 + 2 template tokens around 4 of content, 11 pads; a picture of 2×3 tokens, a reference of 3×3
TEXT = TextTokens("a b c d", 20, {"content": (3, 4, 5, 6), "template": (0, 1, 2, 7, 8)})
LAYOUT = Layout(1, 20, (2, 3), ((3, 3),), (TEXT,))


def picture(color: str, size: tuple[int, int] = (96, 96)) -> Image.Image:
    return Image.new("RGB", size, color)


def tags(html: str, name: str) -> list[dict[str, str]]:
    found = re.findall(rf"<{name}\b([^>]*)>", html)
    return [dict(re.findall(r'([\w-]+)="([^"]*)"', attributes)) for attributes in found]


NAMES = ("grid", "strip", "sequence", "mask", "tokens", "chart", "banner")


def everything() -> dict[str, figures.Html]:
    red, blue = picture("red"), picture("blue")
    mask = attention_mask(LAYOUT, "ref->text[padding]")
    lines = figures.curves({EVIL: ([1, 2, 3], [3.0, 2.0, 1.0])}, "step", "loss")
    return {
        "grid": figures.grid({EVIL: [red, None]}, [EVIL, "b"], {EVIL: [EVIL, ""]}, EVIL),
        "strip": figures.strip([red, blue], [EVIL, "b"], mark="b", caption=EVIL),
        "sequence": figures.sequence_picture(LAYOUT, caption=EVIL),
        "mask": figures.mask_picture(LAYOUT, mask, caption=EVIL),
        "tokens": figures.tokens([EVIL, "b"], ["content", "pad"], caption=EVIL),
        "chart": figures.chart(lines, EVIL, caption=EVIL),
        "banner": figures.banner({EVIL: "bound"}),
    }


@pytest.fixture(scope="module")
def made_twice():
    return everything(), everything()


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_words_and_no_text_becomes_markup(made_twice, name):
    made = made_twice[0][name]
    assert "<script" not in made.html
    ElementTree.fromstring(re.sub(r"<(br|img)\b([^>]*)>", r"<\1\2/>", made.html))
    for img in tags(made.html, "img"):
        assert img["alt"].strip()
        assert img["src"].startswith("data:image/")
    for svg in tags(made.html, "svg"):
        assert svg["role"] == "img"
        assert svg["aria-label"]
    assert repr(made) == made.text
    assert "base64" not in made.text
    assert "0x" not in made.text


@pytest.mark.parametrize("name", NAMES)
def test_the_same_picture_has_the_same_bytes(made_twice, name):
    one, two = made_twice
    assert one[name].html == two[name].html


def test_grid_names_row_column_and_note():
    made = figures.grid(
        {"mini": [picture("red"), picture("blue")]}, ["a", "b"], {"mini": ["", "n"]}
    )
    assert [img["alt"] for img in tags(made.html, "img")] == ["mini, a", "mini, b: n"]
    with pytest.raises(ValueError, match="1 pictures for 2 columns"):
        figures.grid({"mini": [picture("red")]}, ["a", "b"])


def test_pictures_keep_their_pixels_and_large_ones_shrink():
    made = figures.grid({"": [picture("red"), picture("red", (1024, 512))]}, ["small", "large"])
    small, large = tags(made.html, "img")
    assert (small["width"], small["height"]) == ("96", "96")
    assert (large["width"], large["height"]) == ("320", "160")
    data = base64.b64decode(small["src"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(pixels - (255, 0, 0)).max() <= 3


def test_strip_marks_one():
    made = figures.strip([picture("red")] * 3, ["a", "b", "c"], mark="b")
    assert ["outline" in img["style"] for img in tags(made.html, "img")] == [False, True, False]
    assert "▲ b" in made.html
    with pytest.raises(ValueError, match="cannot mark 'd'; labels are a, b, c"):
        figures.strip([picture("red")] * 3, ["a", "b", "c"], mark="d")


def test_sequence_counts_every_token():
    made = figures.sequence_picture(LAYOUT)
    assert "35 tokens" in made.text
    for words in (
        "text 20",
        "content] 4",
        "template] 5",
        "pad] 11",
        "padding] 16",
        "image 6",
        "ref 9",
    ):
        assert words in made.text


def test_sequence_of_klein_s_size_leaves_nothing_too_thin():
    text = TextTokens("a", 512, {"content": (3,), "template": (0, 1, 2, 4, 5)})
    made = figures.sequence_picture(Layout(1, 512, (64, 64), ((64, 64),), (text,)))
    widths = [float(rect["width"]) for rect in tags(made.html, "rect")]
    assert min(widths) >= 8
    assert sum(widths) == pytest.approx(472 - 2 * (len(widths) - 1), abs=0.5)


def test_mask_paints_exactly_what_is_cut():
    mask = attention_mask(LAYOUT, "ref->text[padding]")
    made = figures.mask_picture(LAYOUT, mask)
    unit = 300 / LAYOUT.length
    *cut, _legend = [rect for rect in tags(made.html, "rect") if rect.get("fill") == figures.CUT]
    area = sum(float(rect["width"]) * float(rect["height"]) for rect in cut)
    assert area / unit**2 == pytest.approx(16 * 9, rel=1e-2)
    assert f"{16 * 9} of {35 * 35}" in made.text
    with pytest.raises(ValueError, match="35 tokens"):
        figures.mask_picture(LAYOUT, np.ones((4, 4)))


def test_rate_is_wilson_s():
    assert figures.rate(0.5, 8) == "50 % [22, 78], n = 8"
    assert figures.rate(1.0, 8) == "100 % [68, 100], n = 8"


def test_curves_are_smoothed_and_bars_carry_their_goals():
    (axes,) = figures.curves({"a": ([1, 2, 3, 4], [4.0, 2.0, 4.0, 2.0])}, "step", "loss", 2).axes
    assert axes.lines[0].get_ydata().tolist() == [3, 3, 3]
    assert axes.lines[0].get_xdata().tolist() == [2, 3, 4]
    (axes,) = figures.bars({"mini": {"x": (0.5, 8), "y": (1.0, 8)}}, {"x": 0.9}).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]
    assert [list(line.get_xdata()) for line in axes.lines][-1] == [90, 90]


def test_sweep_has_a_point_and_wilson_s_interval_a_block_and_marks_one():
    blocks = ["double.0", "double.1", "single.0"]
    made = figures.sweep({"a": [0, 0.9, 0.5], "b": [1, 0, 0]}, blocks, n=10, mark="double.1")
    axes = made.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == blocks
    assert len(axes.containers) == 2
    segments = axes.containers[0].lines[2][0].get_segments()
    low, high = wilson(9, 10)
    assert segments[1][:, 1] == pytest.approx([100 * low, 100 * high])
    assert [list(line.get_xdata()) for line in axes.lines].count([1, 1]) == 1
    bare = figures.sweep({"a": [0, 0.9, 0.5]}, blocks)
    assert not bare.axes[0].containers[0].has_yerr
    with pytest.raises(ValueError, match=r"cannot mark 'double\.7'; labels are double\.0"):
        figures.sweep({"a": [0, 0, 0]}, blocks, mark="double.7")
    with pytest.raises(ValueError, match="line 'a' has 2 shares for 3 labels"):
        figures.sweep({"a": [0, 0]}, blocks)


def test_banner_says_what_was_planted_and_nothing_of_others():
    assert "planted" in figures.banner({"mini": "bound", "mini-direct": "direct"}).text
    other = figures.banner({"klein-9b": None})
    assert "planted" not in other.text
    assert "klein" in tags(other.html, "div")[0]["class"]
