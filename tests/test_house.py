"""How the house is built: no circles, no private names across rooms, nothing heavy on import."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import fluxlens

ROOT = Path(fluxlens.__file__).parent
MODULES = {
    ".".join(("fluxlens", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}


@cache
def imports(name: str) -> list[tuple[str, str]]:
    """The modules of ours that a module imports from, anywhere in it, and what it takes."""
    path, found = MODULES[name], []
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(part for part in (up, node.module) if part)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.append((inner, "") if inner in MODULES else (source, alias.name))
    return [(source, taken) for source, taken in found if source in MODULES]


def graph() -> dict[str, set[str]]:
    """Who imports whom; the top says where its names are without importing them."""
    out = {name: {source for source, _ in imports(name)} - {name} for name in MODULES}
    out["fluxlens"] = set()
    return out


def circles(edges: dict[str, set[str]]) -> list[str]:
    """The modules that can be reached from themselves."""
    reach = {name: set(to) for name, to in edges.items()}
    for middle in edges:
        for seen in reach.values():
            if middle in seen:
                seen |= reach[middle]
    return [name for name in edges if name in reach[name]]


def test_the_walk_sees_a_circle():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert ("fluxlens.core", "Model") in imports("fluxlens.pipelines.adapter")
    assert "fluxlens.core.seam" in graph()["fluxlens.core.intervention"]


def test_no_module_imports_itself_by_others():
    assert circles(graph()) == []


STOREYS = {  # what each may build on
    "core": ("core", "errors"),
    "pipelines": ("core", "pipelines", "references"),
    "editor": ("core", "pipelines"),
    "loading": ("core", "pipelines", "editor", "models"),
    "recipes": ("core", "pipelines", "editor"),
}


@pytest.mark.parametrize("room", STOREYS)
def test_a_room_builds_on_those_below_it_alone(room):
    for name, sources in graph().items():
        if name.split(".")[1:2] == [room]:
            below = {source.split(".")[1] for source in sources if "." in source}
            assert below <= set(STOREYS[room]), name


def test_no_private_name_is_taken_from_another_room():
    for name in MODULES:
        for source, taken in imports(name):
            if name.split(".")[1:2] != source.split(".")[1:2]:
                private = [part for part in (*source.split("."), taken) if re.match("_(?!_)", part)]
                assert not private, f"{name} takes {private} of {source}"


def test_the_core_names_no_pipeline():
    for name in MODULES:
        if name.startswith("fluxlens.core"):
            text = MODULES[name].read_text()
            assert "diffusers.pipelines" not in text
            assert not re.findall(r"\w+Pipeline\b", text), name


@pytest.mark.parametrize("room", STOREYS)
def test_no_import_stands_in_a_function(room):
    for name in MODULES:
        if name.startswith(f"fluxlens.{room}"):
            for node in ast.walk(ast.parse(MODULES[name].read_text())):
                if isinstance(node, ast.FunctionDef):
                    inside = {type(inner) for inner in ast.walk(node)}
                    assert not {ast.Import, ast.ImportFrom} & inside, f"{name}.{node.name} imports"


def test_importing_it_imports_nothing_heavy():
    heavy = "torch", "diffusers", "transformers", "numpy", "matplotlib"
    code = f"import sys, fluxlens; dir(fluxlens); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in fluxlens.__all__:
        assert getattr(fluxlens, name) is not None
    assert set(fluxlens.__all__) <= set(dir(fluxlens))
    with pytest.raises(AttributeError, match="no attribute 'Flux'"):
        _ = fluxlens.Flux
