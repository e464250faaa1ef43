"""Columns of pictures: words for each, tasks kept together, nothing becomes markup."""

from __future__ import annotations

import re

import pytest
from PIL import Image

from fluxlens.columns import Column, columns

EVIL = '<script>alert("x")</script>'
RED, BLUE = (Image.new("RGB", (96, 96), name) for name in ("red", "blue"))


def test_every_picture_has_its_words_in_order():
    shown = [
        Column("add a mug", {"reference": RED, "lens": BLUE}, {"lens": "observed"}),
        Column("add a hat", {"reference": BLUE}),
    ]
    page = columns(shown, "Figure 2.")
    words = ["add a mug; reference", "add a mug; lens: observed", "add a hat; reference"]
    assert repr(page).splitlines() == ["pictures:", *words]
    assert re.findall(r'alt="([^"]*)"', page.html) == words
    assert "Figure 2." in page.html


def test_no_text_becomes_markup():
    page = columns([Column(EVIL, {EVIL: RED}, {EVIL: EVIL})], EVIL)
    assert "<script" not in page.html
    assert page.html.count("<img ") == 1


def test_a_note_needs_its_picture():
    with pytest.raises(ValueError, match="'a mug' has a note on 'edit' and no such picture"):
        columns([Column("a mug", {"reference": RED}, {"edit": "observed"})])


def test_no_columns_are_said():
    assert repr(columns([])) == "pictures: none"
    assert "no pictures" in columns([]).html
