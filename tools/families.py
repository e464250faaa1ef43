"""Write into book/families.md what runs on which family, what is refused, and why.

    python -m tools.families

Nothing is typed twice: tiny random pipelines of every family (tests/families.py) are loaded like
any other and asked where tokens are, how many forwards a step has and what they refuse; ids and
licences are those that `fluxlens.load` knows.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

import fluxlens as fl
from fluxlens.models import KNOWN, Known
from fluxlens.pipelines import FAMILIES, family_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book" / "families.md"
PROMPT = "draw a mug in this color"
TITLES = {
    "klein": "klein",
    "klein-base": "klein base",
    "dev": "dev",
    "kontext": "Kontext",
    "qwen-edit": "Qwen",
    "qwen-edit-plus": "Qwen Plus",
}
LAYERS = {"klein": (1, 2), "klein-base": (1, 2), "dev": (1, 2, 3)}  # of the tiny encoders
PARTS = ("content", "padding", "template", "pad", "vision")


@dataclass(frozen=True)
class Facts:
    """What the table says of one family."""

    title: str
    editor: fl.Editor
    layout: fl.Layout
    forwards: int
    padding: str

    @property
    def family(self) -> Any:
        """Its adapter."""
        return self.editor.family

    def known(self) -> dict[str, Known]:
        """The names that `load` has for models of it."""
        base = self.title.endswith("base")
        return {
            name: known
            for name, known in KNOWN.items()
            if known.pipeline in self.family.pipelines and ("base" in name) == base
        }

    def region(self, name: str) -> str:
        """How many tokens a region has, or why none."""
        try:
            self.layout.positions(name)
        except ValueError as error:
            return f"empty, for {str(error).partition(', for ')[2]}"
        return "yes"

    def refusal(self, name: str) -> str:
        """Whether a recipe or mode runs, or the sentence that refuses it."""
        return self.family.refusals.get(name, "runs")

    def encoders(self) -> str:
        """The classes of what reads the instruction; a pooled vector is no token."""
        parts = self.editor.pipe.components
        first, second = (parts.get(name) for name in ("text_encoder", "text_encoder_2"))
        if second is None:
            return f"`{type(first).__name__}`"
        return f"`{type(second).__name__}`; pooled, beside the tokens: `{type(first).__name__}`"


def ask() -> list[Facts]:
    """Load a tiny pipeline of each family and ask it."""
    sys.path.insert(0, str(ROOT / "tests"))
    tiny = import_module("families").FAMILIES
    red = Image.new("RGB", (96, 64), "red")
    out = []
    for name, title in TITLES.items():
        editor = fl.load(tiny[name].build(0), text_layers=LAYERS.get(name))
        height, width = tiny[name].size
        seen: list[int] = []
        hook = editor.pipe.transformer.register_forward_pre_hook(lambda *call, s=seen: s.append(1))
        editor.edit(PROMPT, red, steps=1, height=height, width=width)
        hook.remove()
        sides = {_side(editor.layout(PROMPT, red))}
        if name == "dev":
            left = fl.load(tiny["dev-left"].build(0), text_layers=LAYERS[name])
            sides.add(_side(left.layout(PROMPT, red)))
        padding = " or ".join(sorted(sides, reverse=True))
        padding += ", as its tokenizer says" if len(sides) > 1 else ""
        out.append(Facts(title, editor, editor.layout(PROMPT, red), len(seen), padding))
    return out


def _side(layout: fl.Layout) -> str:
    try:
        pads = layout.positions("text[pad]")
    except ValueError:
        return "none"
    return "left" if pads[0] < layout.positions("text[content]")[0] else "right"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, which scrolls by itself where it is wider than the page."""
    lines = [header, ["---"] * len(header), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f":::{{div}} fluxlens-wide\n{text}\n:::"


class Notes:
    """Sentences, each numbered once."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def short(self, answer: str, yes: str) -> str:
        """``yes``, or *no* with the number of the reason."""
        if answer == yes:
            return yes
        number = self.numbers.setdefault(answer, len(self.numbers) + 1)
        return f"no ({number})"

    def text(self) -> str:
        """The reasons, a line each."""
        return "\n".join(f"{number}. {reason}." for reason, number in self.numbers.items())


Columns = dict[str, Callable[[Facts], str]]
TEXT: Columns = {
    "read by": lambda f: f.encoders(),
    "its layers": lambda f: ", ".join(map(str, type(f.family).text_layers or ["last"])),
    "tokens": lambda f: (
        str(type(f.family).max_sequence_length)
        if "max_sequence_length" in f.family.pipe_kwargs
        else "as many as the prompt has"
    ),
    "pads": lambda f: f.padding,
}
RUN: Columns = {
    "stock class": lambda f: f"`{f.family.pipelines[0]}`",
    "blocks": lambda f: ", ".join(f"`{kind}.*`" for kind in f.family.stacks),
    "references": lambda f: str(f.family.max_refs or "any number"),
    "rows of a batch": lambda f: "together" if f.family.batches else "one by one",
    "steps": lambda f: str(f.family.steps),
    "guidance": lambda f: (
        "none"
        if f.family.guidance is None
        else f"{f.family.guidance}, {'true' if f.forwards > 1 else 'embedded'}"
    ),
    "passes of a step": lambda f: "`cond`, `uncond`" if f.forwards > 1 else "`cond`",
}


def each(facts: Sequence[Facts], columns: Columns) -> str:
    """A line for each family."""
    rows = [[f.title, *(column(f) for column in columns.values())] for f in facts]
    return table(["", *columns], rows)


def text_of(facts: Sequence[Facts]) -> str:
    """What each family reads as text."""
    return each(facts, TEXT)


def run_of(facts: Sequence[Facts]) -> str:
    """How each family runs."""
    return each(facts, RUN)


def runs(facts: Sequence[Facts]) -> str:
    """Regions and recipes, and the reasons for what is not there."""
    notes, titles = Notes(), [f.title for f in facts]
    regions = ["text", *(f"text[{part}]" for part in PARTS), 'text["mug"]', "text[2:5]"]
    regions += ["image", "image[0:64, 0:32]", "ref", "ref[0]"]
    rows = [[f"`{name}`", *(notes.short(f.region(name), "yes") for f in facts)] for name in regions]
    one = "not there, for it reads one reference"
    several = [notes.short(one if f.family.max_refs == 1 else "yes", "yes") for f in facts]
    rows.append(["`ref[1]`", *several])
    modes = [
        [f"`{name}`", *(notes.short(f.refusal(name), "runs") for f in facts)]
        for name in ("edit", "generate", *fl.RECIPES)
    ]
    caveats: dict[str, list[str]] = {}
    for f in facts:
        if f.family.caveat:
            caveats.setdefault(f.family.caveat, []).append(f.title)
    said = "\n".join(f"- {' and '.join(names)}: {caveat}." for caveat, names in caveats.items())
    return "\n\n".join(
        [
            table(["region", *titles], rows),
            table(["", *titles], modes),
            f"Why not:\n\n{notes.text()}",
            f"What every record of these families says:\n\n{said}",
        ]
    )


def models(facts: Sequence[Facts]) -> str:
    """The names that `load` knows."""
    rows = [
        [f"`{name}`", f.title, f"`{known.hub_id}`", known.licence]
        for f in facts
        for name, known in f.known().items()
    ]
    return table(["name", "family", "on the hub", "licence of the weights"], rows)


def page() -> str:
    """The page, its tables made anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        facts = ask()
    assert {f.family.__class__ for f in facts} == set(map(family_of, FAMILIES))
    assert sum(len(f.known()) for f in facts) == len(KNOWN)
    text = PAGE.read_text(encoding="utf-8")
    for name, made in (("models", models), ("text", text_of), ("run", run_of), ("runs", runs)):
        start, end = f"% {name}, made by python -m tools.families\n", f"% end of {name}\n"
        before, found, rest = text.partition(start)
        _, ends, after = rest.partition(end)
        assert found, f"{PAGE} has no place for {name}"
        assert ends, f"{PAGE} does not say where {name} ends"
        text = f"{before}{start}\n{made(facts)}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
