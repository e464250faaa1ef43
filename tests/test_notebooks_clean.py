"""The committed notebooks hold what a reader needs and nothing of the machine that ran them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebooks


@pytest.mark.parametrize("path", notebooks.committed(), ids=lambda path: path.name)
def test_committed_notebook_is_clean(path: Path) -> None:
    assert notebooks.problems(path) == [], "run `make notebooks`"


@pytest.mark.parametrize("path", notebooks.committed(), ids=lambda path: path.name)
def test_committed_notebook_defaults_to_mini(path: Path) -> None:
    """A reader without a GPU runs every page as it stands."""
    (cell,) = notebooks.tagged(notebooks.read(path), "parameters")
    names: dict[str, Any] = {}
    exec(cell.source, names)
    assert names.get("model", "mini") in {"mini", "mini-direct"}


# --- the checks themselves, on notebooks made for the purpose ---------------------------------


def sample() -> NotebookNode:
    """Three cells as papermill leaves them, with its noise."""
    output = new_output("stream", name="stdout", text="2\n")
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A page"),
            new_code_cell("model = 'mini'", metadata={"tags": ["parameters"]}, execution_count=1),
            new_code_cell("print(1 + 1)", outputs=[output], execution_count=2),
        ],
        metadata={
            "papermill": {"duration": 1.5},
            "kernelspec": {"name": "mine", "display_name": "Mine"},
        },
    )
    notebook.cells[2].metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    return notebook


def problems_of(notebook: NotebookNode, folder: Path) -> list[str]:
    path = folder / "page.ipynb"
    nbformat.write(notebook, path)
    return notebooks.problems(path)


def test_cleaning_makes_a_run_fit_to_commit(tmp_path: Path) -> None:
    assert problems_of(sample(), tmp_path)
    assert problems_of(notebooks.clean(sample()), tmp_path) == []


def test_cleaning_is_deterministic_and_done_once() -> None:
    one, two = notebooks.clean(sample()), notebooks.clean(sample())
    assert nbformat.writes(one) == nbformat.writes(two)
    assert nbformat.writes(notebooks.clean(one)) == nbformat.writes(two)


def test_equal_cells_have_different_ids() -> None:
    notebook = new_notebook(cells=[new_code_cell("f()"), new_code_cell("f()")])
    first, second = notebooks.cell_ids(notebook)
    assert first != second


def test_cleaning_drops_widgets_and_keeps_what_stands_for_them() -> None:
    notebook = sample()
    widget = {notebooks.WIDGET: {"model_id": "1"}}
    notebook.cells[2].outputs = [
        new_output("display_data", data=widget | {"text/plain": "a slider"}),
        new_output("display_data", data=dict(widget)),
    ]
    (output,) = notebooks.clean(notebook).cells[2].outputs
    assert output.data == {"text/plain": "a slider"}


def printing(text: str) -> Callable[[NotebookNode], None]:
    def spoil(notebook: NotebookNode) -> None:
        notebook.cells[2].outputs = [new_output("stream", name="stdout", text=text)]

    return spoil


def show_widget(notebook: NotebookNode) -> None:
    data = {notebooks.WIDGET: {"model_id": "1"}}
    notebook.cells[2].outputs = [new_output("display_data", data=data)]


def print_on_stderr(notebook: NotebookNode) -> None:
    notebook.cells[2].outputs = [new_output("stream", name="stderr", text="  0%|   |")]


def forget_parameters(notebook: NotebookNode) -> None:
    notebook.cells[1].metadata = {}


def run_out_of_order(notebook: NotebookNode) -> None:
    notebook.cells[2].execution_count = 7


def change_id(notebook: NotebookNode) -> None:
    notebook.cells[0].id = "chance"


def silence(notebook: NotebookNode) -> None:
    notebook.cells[2].source = "1 + 1;"


def fail(notebook: NotebookNode) -> None:
    error = new_output("error", ename="ValueError", evalue="no", traceback=[])
    notebook.cells[2].outputs = [error]


SPOILED: list[tuple[Callable[[NotebookNode], None], str]] = [
    (printing(f"{Path.home()}/model.safetensors"), "prints a path"),
    (printing("/home/somebody/thesis"), "prints a path"),
    (printing("x" * 600_000), "600 kB"),
    (show_widget, "state is not stored"),
    (print_on_stderr, "stderr"),
    (forget_parameters, "`parameters`"),
    (run_out_of_order, "from top to bottom"),
    (change_id, "ids"),
    (silence, "semicolon"),
    (fail, "ended with ValueError"),
]


@pytest.mark.parametrize(("spoil", "complaint"), SPOILED)
def test_check_complains(
    spoil: Callable[[NotebookNode], None], complaint: str, tmp_path: Path
) -> None:
    notebook = notebooks.clean(sample())
    spoil(notebook)
    found = problems_of(notebook, tmp_path)
    assert any(complaint in problem for problem in found), found


def test_check_lets_pictures_be() -> None:
    text = '<img src="data:image/png;base64,iVBOR/home/abc/tmp/x=">'
    assert not notebooks.PATHS.search(notebooks.IMAGES.sub("", text))


# --- freshness --------------------------------------------------------------------------------


def test_state_follows_cells_parameters_and_library_but_not_outputs() -> None:
    raw, cleaned = sample(), notebooks.clean(sample())
    base = notebooks.state(raw, {}, "library")
    assert notebooks.state(cleaned, {}, "library") == base
    assert notebooks.state(raw, {"seed": 1}, "library") != base
    assert notebooks.state(raw, {}, "another library") != base
    raw.cells[2].source = "print(3)"
    assert notebooks.state(raw, {}, "library") != base


def page(folder: Path, parameters: str, body: str) -> Path:
    notebook = sample()
    notebook.cells[1].source, notebook.cells[2].source = parameters, body
    folder.mkdir(exist_ok=True)
    nbformat.write(notebooks.clean(notebook), folder / f"{parameters[:5]}.ipynb")
    return folder / f"{parameters[:5]}.ipynb"


def test_a_parameter_that_no_notebook_has_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = page(tmp_path, "model = 'mini'", "print(model)")
    assert not notebooks.execute([path], tmp_path / "out", {"modle": "mini"})
    assert (
        "no notebook has a parameter modle; it is one of bound, contrast, direct, judge"
        in capsys.readouterr().out
    )
    assert not (tmp_path / "out").exists()


def test_each_notebook_is_given_the_parameters_that_it_has(tmp_path: Path) -> None:
    one = page(tmp_path / "nb", "limit: int = 8", "print(limit)")
    two = page(tmp_path / "nb", "model = 'mini'", "print(model)")
    words = ["execute", "--into", str(tmp_path / "out"), str(one), str(two)]
    command = [sys.executable, "-m", "tools.notebooks", *words, "-p", "limit=2", "-p", "model=tiny"]
    subprocess.run(command, cwd=notebooks.ROOT, check=True)  # papermill leaves an event loop behind
    printed = [
        notebooks.read(tmp_path / "out" / path.name).cells[-1].outputs[0].text
        for path in (one, two)
    ]
    assert printed == ["2\n", "tiny\n"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("limit=2", 2), ("limit=null", None), ("contrast=", ""), ('model="9"', "9"), ("f=[a]", ["a"])],
)
def test_parameters_on_the_line_are_yaml(text: str, value: Any) -> None:
    assert notebooks.parameter(text)[1] == value


def test_a_verdict_more_makes_executed_notebooks_out_of_date(tmp_path: Path) -> None:
    before = notebooks.library(tmp_path)
    (tmp_path / "mini" / "verdicts" / "oracle").mkdir(parents=True)
    (tmp_path / "mini" / "verdicts" / "oracle" / "a.csv").write_text("entity_id,pass\n")
    assert notebooks.library(tmp_path) != before
    assert notebooks.library(tmp_path / "none") == before
