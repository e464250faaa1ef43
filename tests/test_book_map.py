"""Everything that the paper numbers has its counterpart, and the page that maps them says where."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from fluxlens.results import load_paper
from tools import notebooks, paper_map

NUMBERED = [f"Figure {n}" for n in range(1, 6)]
NUMBERED += [f"Figure {part}{n}" for part, last in zip("ABC", (7, 3, 4), strict=True)
             for n in range(1, last + 1)]  # fmt: skip
NUMBERED += ["Table 1", "Table 2", "Table 3", "Table D1"]


def words(page: Path) -> str:
    """A page's text; of a notebook its cells and what they put out."""
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    cells = notebooks.read(page).cells
    said = [text for cell in cells if cell.cell_type == "code" for text in notebooks.texts(cell)]
    return notebooks.IMAGES.sub("", "\n".join([*(cell.source for cell in cells), *said]))


def test_the_page_lists_all_that_the_paper_numbers_and_is_up_to_date() -> None:
    assert [f"{kind} {plan.name}" for kind, plan in paper_map.plans()] == NUMBERED
    page = (paper_map.BOOK / "map.md").read_text(encoding="utf-8")
    assert page == paper_map.text(), "run python -m tools.paper_map"
    counted = Counter(re.findall(r"`, ((?:Figure|Table) \w+) \|", page))
    assert counted == Counter(NUMBERED)


@pytest.mark.parametrize("number", NUMBERED[1:])
def test_the_counterpart_is_where_the_page_says(number: str) -> None:
    kind, name = number.split()
    page = (paper_map.BOOK / f"{paper_map.page_of(kind, name)}.ipynb").resolve()
    assert page.is_file(), f"{number} should be in {page.name}"
    caption = rf"\b{number}\."
    code = rf"""\btable\(\s*["']{name}["']""" if kind == "Table" else caption
    assert re.search(f"{caption}|{code}", words(page)), f"{page.name} has no {number}"


def test_the_drawing_of_the_interventions_names_all_three() -> None:
    page = words(paper_map.BOOK / f"{paper_map.page_of('Figure', '1')}.md").lower()
    three = re.findall(r"T2I Lens|Knockout|Patching", load_paper().figures[0].shows)
    assert len(three) == 3
    assert all(name.lower() in page for name in three)
