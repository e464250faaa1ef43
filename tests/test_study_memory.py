"""The size of a run is found once by a run, kept with the pictures, and the same for all shards."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from study_tools import all_levels, equal

from fluxlens.study.cells import choose
from fluxlens.study.memory import Meter, agreed_tokens, found_tokens
from fluxlens.study.plan import TOKENS, make_plan
from fluxlens.study.run import Settings, run
from fluxlens.study.store import Store

pytest_plugins = ["study_fixtures"]
QUIET = Settings(shown=False)


class Card:
    """A device with so much memory, of which an edit takes so much a token."""

    def __init__(self, free: float, each: float) -> None:
        self.meter, self.runs = Meter(lambda: free, self.peak), 0
        self.each = each

    def peak(self, run) -> float:
        run()
        self.runs += 1
        return self.each


def test_as_many_edits_as_fit(small):
    length = 96 + 36 + 36  # of the model's own size

    def found(free: float) -> int:
        return found_tokens(small, Card(free, each=1.0).meter)

    edits = TOKENS / length  # in the memory that one batch of 8,704 tokens takes
    assert found(0.1) == found(1.0) == TOKENS
    assert found(2.01 * edits / 0.8) == found(2.9 * edits / 0.8) == 2 * TOKENS
    assert found(1000 * edits) == 8 * TOKENS
    assert found_tokens(small) == TOKENS  # nothing is measured on a CPU


@given(free=st.floats(1, 1e12), more=st.floats(1, 10), each=st.floats(1, 1e9))
def test_more_memory_never_makes_runs_smaller(small, free, more, each):
    class Quiet:
        device, default_size = torch.device("cpu"), 96
        layout = staticmethod(lambda *a: small.layout("", ref))
        edit = staticmethod(lambda *a, **k: None)

    from PIL import Image

    ref = Image.new("RGB", (96, 96))
    low, high = (found_tokens(Quiet, Card(room, each).meter) for room in (free, more * free))
    assert low <= high
    assert low % TOKENS == high % TOKENS == 0


def test_too_little_memory_is_said_with_its_remedy(small):
    def full(run):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ValueError, match=r"not one edit of 96×96.*--offload"):
        found_tokens(small, Meter(lambda: 1.0, full))


def test_a_folder_keeps_the_bound_that_it_was_made_with(small, tmp_path, monkeypatch):
    """Else what is made again on another machine would be made in other company."""
    found: list[int] = []

    def find(flux):
        found.append(350)
        return 350  # two rows

    monkeypatch.setattr(sys.modules["fluxlens.study.run"], "found_tokens", find)
    plan = make_plan("mini", choose(["i2i_unc_color_text_lens"]), limit=5)
    folder = run(small, plan, tmp_path, QUIET).folder
    (entry,) = json.loads((folder / "manifest.json").read_text())["runs"]
    assert (entry["tokens"], found) == (350, [350])
    pixels = all_levels(folder)
    for picture in list(plan)[::3]:
        picture.path(folder).unlink()
    monkeypatch.setattr(sys.modules["fluxlens.study.run"], "found_tokens", lambda flux: 10 * TOKENS)
    run(small, plan, tmp_path, QUIET)
    first, second = json.loads((folder / "manifest.json").read_text())["runs"]
    assert second["tokens"] == first["tokens"]
    assert equal(all_levels(folder), pixels)


def test_who_decides(tmp_path):
    store = Store(tmp_path)

    def never() -> int:
        raise AssertionError

    assert agreed_tokens(store, 5, (1, 1), never) == 5
    assert agreed_tokens(store, 5, (2, 3), never) == 5
    assert agreed_tokens(store, None, (2, 3), never) == TOKENS
    assert agreed_tokens(store, None, (1, 1), lambda: 7) == 7
    for text in ("", "{}", '{"runs": []}', '{"runs": [{"started": 1}]}', '{"runs": [[]]}'):
        (tmp_path / "manifest.json").write_text(text)
        assert agreed_tokens(store, None, (1, 1), lambda: 7) == 7
    runs = [{"tokens": 9}, {"tokens": 11}, {"started": 1}]
    (tmp_path / "manifest.json").write_text(json.dumps({"runs": runs}))
    assert agreed_tokens(store, None, (1, 1), never) == 11
    assert replace(QUIET, tokens=3).tokens == 3
