"""What is said in one place about installing and running holds in the others."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").rglob("*.md"))]


def pins() -> dict[str, str]:
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert name == canonicalize_name(name), f"{name} is not in its canonical spelling"
            assert name not in found, f"{name} is pinned twice"
            found[name] = version
    return found


PINS = pins()
DECLARED = [
    line
    for line in (*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra))
    if Requirement(line).name != PROJECT["name"]  # an extra that brings another
]


@pytest.mark.parametrize("line", DECLARED)
def test_constraints_pin_what_pyproject_declares(line: str) -> None:
    requirement = Requirement(line)
    pinned = PINS[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned), f"{line} does not allow {pinned}"


@pytest.mark.skipif(sys.platform != "linux", reason="the pins were resolved on Linux")
def test_constraints_pin_everything_that_is_installed_with_it() -> None:
    wanted = [Requirement(f"fluxlens[{','.join(EXTRAS)}]")]
    seen: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        extras = {"", *requirement.extras}
        try:
            lines = metadata.requires(name) or []
            version = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue  # of an extra that is not installed here
        if name != "fluxlens":
            assert PINS.get(name) == version, (
                f"{name} {version} is installed, {PINS.get(name)} pinned"
            )
        for line in lines:
            child = Requirement(line)
            needed = not child.marker or any(child.marker.evaluate({"extra": e}) for e in extras)
            if needed and f"{name}: {line}" not in seen:
                seen.add(f"{name}: {line}")
                wanted.append(child)
    assert seen, "fluxlens is not installed"


def test_environment_is_a_thin_shell_over_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    *conda, pip = environment["dependencies"]
    versions = {Requirement(re.sub(r"(?<![<>=!])=(?!=)", "==", line)).name: line for line in conda}
    assert set(versions) == {"python", "pip"}
    python = versions["python"].partition("=")[2]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    constraint, install = pip["pip"]
    assert constraint == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[([a-z,]+)\]", install)
    assert extras, f"{install} does not install this project"
    assert set(extras[1].split(",")) == {"book", "lab", "test"} <= set(EXTRAS)


def test_what_the_tests_install_leaves_jupyterlab_out() -> None:
    """JupyterLab slows every import of nbformat, so only the `lab` extra may bring it."""
    names = {Requirement(line).name for extra in ("book", "test") for line in EXTRAS[extra]}
    assert not names & {"jupyterlab", "notebook", "jupyter"}


def test_integration_runs_every_python_that_is_promised() -> None:
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == promised
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [version for version in ("3.10", *promised) if version in supported] == promised


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_commands_in_prose_exist(page: Path) -> None:
    text = page.read_text()
    code = re.findall(r"```(?:bash|sh|console)\n(.*?)```|`([^`\n]+)`", text, re.DOTALL)
    named = re.findall(r"\bmake ([a-z-]+)", "\n".join(block + inline for block, inline in code))
    assert set(named) <= targets()
    for extras in re.findall(r"\.\[([a-z,]+)\]", text):
        assert set(extras.split(",")) <= set(EXTRAS)


def test_every_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    explained = set(re.findall(r"^([a-z-]+):.*?## \S", makefile, re.MULTILINE))
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)).split()
    assert explained == set(phony) == targets()


def test_readme_names_the_two_commands_first() -> None:
    first = re.search(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert first
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "make book",
        "make test",
    ]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_pictures_in_prose_exist_and_say_what_they_show(page: Path) -> None:
    for alt, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text()):
        assert (page.parent / target).is_file(), f"{target} is missing"
        assert len(alt) > 10, f"{target} needs a text that tells what it shows"


def test_citation_names_the_paper_and_its_authors() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert paper["title"] == "Vision-Language Binding in In-Context Image Generation"
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Ge", "Gandikota", "Torralba", "Rott Shaham"]
    assert citation["license"] == PROJECT["license"] == "MIT"


def test_pages_load_nothing_from_elsewhere() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    sphinx = config["sphinx"]["config"]
    static = ROOT / sphinx["html_static_path"][0]
    assert (static / sphinx["mathjax_path"]).is_file()
    assert all((static / name).is_file() for name in sphinx["html_css_files"])
    assert "sphinx_thebe" not in sphinx["extensions"]
    assert config["execute"]["execute_notebooks"] == "off"


def chapters(node: object) -> list[str]:
    """Every page of a table of contents, wherever it stands."""
    if isinstance(node, list):
        return [page for item in node for page in chapters(item)]
    if isinstance(node, dict):
        own = [value for key, value in node.items() if key in {"root", "file"}]
        return own + [page for value in node.values() for page in chapters(value)]
    return []


def test_table_of_contents_lists_every_page_once() -> None:
    listed = chapters(yaml.safe_load((ROOT / "_toc.yml").read_text()))
    written = [*(ROOT / "book").rglob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]
    there = sorted(str(path.relative_to(ROOT).with_suffix("")) for path in written)
    assert sorted(listed) == there
