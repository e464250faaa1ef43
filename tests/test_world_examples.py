"""The examples that open the drawn world's modules run as they stand."""

import doctest
import importlib

import pytest

MODULES = ("animals", "canvas", "cast", "drawings", "held", "humans", "indoors", "objects",
           "outdoors", "pen", "people", "scenes", "settings", "subjects", "world")  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"fluxlens.mini.{name}"))
    assert (found.failed, found.attempted > 0) == (0, True)
