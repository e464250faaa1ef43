"""What `pip install fluxlens` brings: the wheel, in an environment of its own.

The environment sees the dependencies that are installed here, and nothing is downloaded. What an
extra brings is hidden from it. FLUXLENS_WHEEL names a wheel that is built already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from zipfile import Path as ZipPath
from zipfile import ZipFile

import pytest

import fluxlens

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of Unix"),
]

HIDE = """
import sys
for name in ("anthropic", "ipywidgets", "matplotlib", "pandas", "ray", "scipy", "statsmodels"):
    sys.modules[name] = None  # importing it fails, as if it were not installed
"""
RECIPES = """
import fluxlens as fl
from PIL import Image

editor = fl.load("mini")
red, blue = (Image.new("RGB", (96, 96), color) for color in ("red", "blue"))
edit = editor.edit("draw a mug in this color", ref=red, seed=0)
for name, recipe in fl.RECIPES.items():
    pictures = (red, blue) if recipe.pair else (red,)
    result = recipe.run(editor, "draw a mug in this color", *pictures)
    assert result.image.size == edit.size, name
    assert result.image.tobytes() != edit.tobytes(), f"{name} changed nothing"
    assert result.record["versions"]["fluxlens"] == fl.__version__
    print(name)
"""
IMPORTS = """
import importlib, pkgutil
import fluxlens

for module in pkgutil.walk_packages(fluxlens.__path__, "fluxlens."):
    try:
        importlib.import_module(module.name)
    except fluxlens.optional.MissingExtraError as missing:
        print(module.name, missing, sep="\\t")
"""


def run(*command: object, cwd: Path, fails: bool = False) -> str:
    """What a command prints, away from the checkout; its errors where it is to fail."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert bool(done.returncode) == fails, done.stderr[-3000:]
    return done.stderr if fails else done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if given := os.environ.get("FLUXLENS_WHEEL"):
        return Path(given).resolve()
    into = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into, cwd=ROOT)
    (built,) = into.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Distribution:
    (info,) = (path for path in ZipPath(wheel).iterdir() if path.name.endswith(".dist-info"))
    return PathDistribution(info)


@pytest.fixture(scope="module")
def bin(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that has the wheel, and beside it what is installed here."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    names = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv", names))
    (packages / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install"]
    run(*pip, "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    where = run(
        home / "bin" / "python", "-c", "import fluxlens; print(fluxlens.__file__)", cwd=home
    )
    assert Path(where.strip()).is_relative_to(packages)
    return home / "bin"


def test_the_wheel_holds_the_library_with_its_data_and_nothing_else(wheel: Path) -> None:
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    written = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "fluxlens").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert held == written | {"fluxlens/constraints.txt"}
    assert "fluxlens/py.typed" in held
    for model in ("mini", "mini-direct"):
        folder = f"fluxlens/mini/weights/{model}/transformer"
        assert f"{folder}/diffusion_pytorch_model.safetensors" in held


def test_the_version_is_said_in_one_place(
    metadata: Distribution, bin: Path, tmp_path: Path
) -> None:
    assert metadata.version == fluxlens.__version__
    assert run(bin / "fluxlens", "--version", cwd=tmp_path) == f"fluxlens {metadata.version}\n"


def test_help_lists_the_commands(bin: Path, tmp_path: Path) -> None:
    text = run(bin / "fluxlens", "--help", cwd=tmp_path)
    for command in ("tasks", "plan", "estimate", "run", "judge", "tables"):
        assert f"\n    {command} " in text


def test_the_pins_come_with_it(bin: Path, tmp_path: Path) -> None:
    pins = run(bin / "python", "-m", "fluxlens.constraints", cwd=tmp_path)
    assert pins == (ROOT / "constraints.txt").read_text()


def test_edit_and_every_recipe_need_no_extra(bin: Path, tmp_path: Path) -> None:
    made = run(bin / "python", "-c", HIDE + RECIPES, cwd=tmp_path).split()
    assert made == list(fluxlens.RECIPES)


def test_what_needs_an_extra_says_which(bin: Path, tmp_path: Path) -> None:
    lines = run(bin / "python", "-c", HIDE + IMPORTS, cwd=tmp_path).splitlines()
    refused = dict(line.split("\t") for line in lines if "\t" in line)
    assert {"fluxlens.figures", "fluxlens.results"} <= set(refused)
    assert (
        "need anthropic: pip install 'fluxlens[judge]'" in refused["fluxlens.judge.claude_client"]
    )
    for module, message in refused.items():
        found = [name for name in EXTRAS if message.endswith(f": pip install 'fluxlens[{name}]'")]
        assert len(found) == 1, f"{module}: {message}"


@pytest.mark.parametrize("words", ["tables --verdicts .", "run --model mini --limit 1"])
def test_a_command_without_its_extra_is_one_line(bin: Path, tmp_path: Path, words: str) -> None:
    sentence = "studies and tables need pandas: pip install 'fluxlens[study]'"
    call = f"from fluxlens.cli import main; sys.exit(main({words.split()}))"
    said = run(bin / "python", "-c", HIDE + call, cwd=tmp_path, fails=True)
    assert said.splitlines()[-1] == f"fluxlens: {sentence}"
    assert "Traceback" not in said
