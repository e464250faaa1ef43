"""What docstrings of judges, oracle and results show is what comes out."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from fluxlens.judge import Verdict, load_questions
from fluxlens.mini.cast import TEST_PEOPLE
from fluxlens.mini.drawings import Figure, Portrait, SceneView, Solid, StillLife
from fluxlens.mini.scenes import Scene
from fluxlens.mini.world import COLORS, NO_FREE, UNDYED
from fluxlens.oracle import Look, load_thresholds

NAMES = {
    "COLORS": COLORS, "NO_FREE": NO_FREE, "TEST_PEOPLE": TEST_PEOPLE, "Figure": Figure,
    "Image": Image, "Look": Look, "Path": Path, "Portrait": Portrait, "Scene": Scene,
    "SceneView": SceneView, "StillLife": StillLife, "Verdict": Verdict,
    "load_questions": load_questions, "load_thresholds": load_thresholds,
    "red": Look(Solid(COLORS["red"]).draw(NO_FREE)),
    "undyed": StillLife("mug", UNDYED).draw(NO_FREE),
    "dyed": StillLife("mug", COLORS["red"]).draw(NO_FREE),
}  # fmt: skip
# Some need files, a server or a process: only these examples of their modules are run.
MODULES: dict[str, tuple[str, ...] | None] = {
    "fluxlens.files": ("checked", "file_name"),
    "fluxlens.judge.base": None,
    "fluxlens.judge.image_payload": ("fingerprint",),
    "fluxlens.judge.parse_reply": None,
    "fluxlens.judge.prices": None,
    "fluxlens.judge.questions": None,
    "fluxlens.judge.verdicts": ("belongs", "verdict_path"),
    "fluxlens.oracle.error_rates": None,
    "fluxlens.oracle.features": None,
    "fluxlens.oracle.pixels": None,
    "fluxlens.oracle.prompt_factors": None,
    "fluxlens.oracle.readings": None,
    "fluxlens.oracle.rules": None,
    "fluxlens.oracle.thresholds": None,
    "fluxlens.results.paper": None,
    "fluxlens.results.statistics": None,
    "fluxlens.results.tables": ("place",),
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module, only = import_module(name), MODULES[name]
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    runner, run = doctest.DocTestRunner(optionflags=flags), 0
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=NAMES):
        if test.examples and (only is None or test.name.rpartition(".")[2] in only):
            assert runner.run(test).failed == 0, test.name
            run += 1
    assert run >= len(only or "1")
