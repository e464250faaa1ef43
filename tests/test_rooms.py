"""The rooms of judges, oracle, results and pages: arrows one way, through the front door."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fluxlens

ROOT = Path(fluxlens.__file__).parent
# What each room may know of the rest of the house; of another room only what its door offers.
ROOMS = {
    "judge": {"files", "optional", "references"},
    "oracle": {"files", "judge", "mini", "optional"},
    "results": {"files", "judge", "optional"},
    "pages": {"files", "judge", "results", "figures", "study", "html", "html_table", "optional"},
}
OPEN = {"mini", "study"}  # whose doors offer too little yet


def imports(path: Path) -> set[str]:
    """Every module of the library that a file imports, wherever in it."""
    out = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            out |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: name the module in full"
            base = str(node.module)
            out |= {f"{base}.{name.name}" for name in node.names} if base == "fluxlens" else {base}
    return {name for name in out if name.startswith("fluxlens.")}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_what_it_may(room):
    (files := sorted((ROOT / room).glob("*.py"))).remove(ROOT / room / "__init__.py")
    assert files
    for path in files:
        for name in imports(path):
            _, other, *rest = name.split(".")
            assert other == room or other in ROOMS[room], f"{path.name} imports {name}"
            assert other == room or other in OPEN or not rest, f"{path.name} imports {name}"


def test_the_arrows_make_no_circle():
    knows = {room: others & ROOMS.keys() for room, others in ROOMS.items()}
    while knows:
        free = [room for room, others in knows.items() if not others]
        assert free, knows
        knows = {room: others - {*free} for room, others in knows.items() if room not in free}


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_at_a_door_is_there(room):
    module = __import__(f"fluxlens.{room}", fromlist=["x"])
    assert sorted(module.__all__) == sorted({*module.__all__})
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="nobody"):
        _ = module.nobody


def test_judges_need_no_sdk_until_one_is_asked_for():
    code = "import sys; sys.modules['anthropic'] = None; import fluxlens.judge as j; j.LocalJudge"
    code += "\ntry: j.ClaudeJudge\nexcept ImportError as error: print(error)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.endswith("need anthropic: pip install 'fluxlens[judge]'\n")
