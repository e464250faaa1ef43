"""The numbers that the README repeats are those that the repository's commands and files give."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fluxlens.judge.prices import load_prices
from fluxlens.study.cells import EXTRAS, choose
from fluxlens.study.estimate import SUSTAINED, gpus, make_estimate
from fluxlens.study.plan import make_plan
from fluxlens.study.ratios import ratios
from fluxlens.study.shapes import model_shape
from fluxlens.study.sizes import Sizes

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COUNTED = {
    "reference dropped after the style block": "reference dropped after double.7",
    "reference dropped after the color block": "reference dropped after single.9",
    "the lens's source run alone": "T2I Lens, capture at double.7",
}
ON_MINI = {
    "reference dropped after the style block": "reference dropped after double.0",
    "reference dropped after the color block": "reference dropped after double.1",
    "capture within an edit": "capture",
    "patch within an edit": "patch",
    "a lens at every block, in a batch, of one by one": "lens at every block, in a batch",
}


def rows() -> dict[str, list[str]]:
    """The table of what an intervention costs, by what its rows begin with."""
    _, _, table = README.partition("### What an intervention costs")
    lines = [line.strip("| ").split("|") for line in table.splitlines() if line.startswith("| ")]
    found = {}
    for name, *numbers in lines:
        name = re.sub(r"knockout `(.*)`", r"\1", name.strip())
        found[name] = [number.strip() for number in numbers]
    return {name: numbers for name, numbers in found.items() if len(numbers) >= 1 and name}


def measured(file: str) -> dict[str, float]:
    table = json.loads((ROOT / "benchmarks" / "results" / file).read_text())
    return {case["case"]: case["ratio"] for case in table["cases"]}


def said(clock: dict[str, float], name: str) -> str:
    """A time as the table has it, with that of the dense mask in brackets where there is one."""
    masked = clock.get(f"{name}, attention_kwargs")
    return f"{clock[name]:.3f}" + (f" ({masked:.3f})" if masked else "")


def test_the_table_is_there():
    assert set(COUNTED) | set(ON_MINI) | {"ref->image", "ref->text"} <= set(rows())


@pytest.mark.parametrize("name", ["ref->image", *COUNTED])
def test_operations_are_those_of_the_ratios_command(name):
    counted = {row.recipe: row.ratio for row in ratios(model_shape("klein-9b"))}
    recipe = COUNTED.get(name, f"knockout {name}")
    assert rows()[name][0] == f"{counted[recipe]:.3f}"


@pytest.mark.parametrize("name", ["ref->image", "ref->text[padding]", *ON_MINI])
def test_times_on_mini_are_those_of_the_benchmark(name):
    assert rows()[name][-1] == said(measured("recipes-mini.json"), ON_MINI.get(name, name))


def test_times_of_a_block_are_those_of_the_benchmark():
    block = measured("block-single-8704-bfloat16.json")
    assert rows()["ref->image"][1] == said(block, "ref->image")
    assert rows()["ref->text"][1].startswith(said(block, "ref->text"))


PRICED = ("pictures", "forwards", "EFLOP", "hours", "questions", "dollars", "in batches")


@pytest.mark.parametrize(
    ("extras", "told"),
    [((), PRICED), (tuple(EXTRAS), ("pictures", "hours", "questions", "in batches"))],
)
def test_the_price_is_what_estimate_says(extras, told):
    plan, price = make_plan("mini", choose(extras=extras)), load_prices().of("claude-opus-4-7")
    rate = SUSTAINED * gpus()["h100"].tflops
    sizes = Sizes("paper", standing_in=True)
    found = make_estimate(
        plan, model_shape("klein-9b"), sizes, tflops=rate, price=price, nulls=bool(extras)
    )
    bill = found.total.bill
    facts = {
        "pictures": f"{found.total.images:,} pictures",
        "forwards": f"{found.total.forwards:,} forwards",
        "EFLOP": f"{found.flops / 1e18:.1f} EFLOP",
        "hours": f"{found.hours:.1f} hours",
        "questions": f"{bill.calls:,} questions",
        "dollars": f"${bill.dollars:.0f} one by one",
        "in batches": f"${bill.batch:.0f} in batches",
    }
    prose = " ".join(README.split())
    assert [facts[name] for name in told if facts[name] not in prose] == []
