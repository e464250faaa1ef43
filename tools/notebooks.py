"""Execute the notebooks, keep them clean, and hand them to the book.

    python -m tools.notebooks execute   notebooks/ -> _build/executed/, only what is out of date
    python -m tools.notebooks stage     the book's sources and executed copies -> _build/src/
    python -m tools.notebooks refresh   execute, then put the clean results back into notebooks/
    python -m tools.notebooks clean     take the machine's noise out of notebooks/ without running
    python -m tools.notebooks check     say what would not be fit to commit

    python -m tools.notebooks execute --into runs/tiny -p model=/data/tiny -p contrast= -p limit=2

Parameters go to the notebooks that have them; one that none of them has is an error. The committed
notebooks are only ever written by `refresh` and `clean`. An executed notebook is out of date when
its own cells, a parameter, a verdict, a file of the library or a pinned dependency has changed; its
outputs and cell ids do not count.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
RESULTS = ROOT / "results"
EXECUTED = ROOT / "_build" / "executed"
STAGED = ROOT / "_build" / "src"

MAX_OUTPUT, MAX_NOTEBOOK = 500_000, 2_000_000  # bytes
CELL_METADATA = {"tags", "mystnb", "jupyter"}
NOTEBOOK_METADATA = {"kernelspec", "language_info", "mystnb"}
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
IMAGES = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")
PATHS = re.compile(r"(?<![\w.])(?:/(?:home|Users|root|tmp|private/var|mnt)/\w|[A-Za-z]:\\+Users)")


# --- reading ----------------------------------------------------------------------------------


def read(path: Path) -> NotebookNode:
    """The notebook in format 4.5, where every cell has an id."""
    node: NotebookNode = nbformat.read(path, as_version=4)
    node.nbformat_minor = max(node.nbformat_minor, 5)
    return node


def write(notebook: NotebookNode, path: Path) -> None:
    """Write all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")
    os.replace(part, path)


def committed(folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks, in the order of their names."""
    return sorted(folder.glob("*.ipynb"))


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    """The cells that carry a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


# --- cleaning ---------------------------------------------------------------------------------


def cell_ids(notebook: NotebookNode) -> list[str]:
    """An id for every cell that follows from what is written in it, not from chance."""
    seen: dict[str, int] = {}
    ids = []
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:10]
        seen[digest] = seen.get(digest, 0) + 1
        ids.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return ids


def clean(notebook: NotebookNode) -> NotebookNode:
    """Keep cells, outputs and execution counts; drop times, widget models, chance ids."""
    kept = {k: v for k, v in notebook.metadata.items() if k in NOTEBOOK_METADATA}
    notebook.metadata = NotebookNode(kept | {"kernelspec": KERNEL})
    notebook.metadata["language_info"] = {"name": "python"}
    for cell, cell_id in zip(notebook.cells, cell_ids(notebook), strict=True):
        cell.id = cell_id
        cell.metadata = NotebookNode(
            {k: v for k, v in cell.metadata.items() if k in CELL_METADATA and v}
        )
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            if "data" in output:  # a widget without its state would vanish from the page
                output.data.pop(WIDGET, None)
            if "metadata" in output:
                output.metadata = NotebookNode()
        cell.outputs = [out for out in cell.outputs if out.get("data") != {}]
    return notebook


# --- checking ---------------------------------------------------------------------------------


def texts(cell: NotebookNode) -> Iterator[str]:
    """Everything in a code cell's outputs that a reader could read."""
    for output in cell.get("outputs", []):
        yield from (output.get("text", ""), output.get("evalue", ""))
        yield from output.get("traceback", [])
        for kind, value in output.get("data", {}).items():
            if not kind.startswith("image/") or kind == "image/svg+xml":
                yield value if isinstance(value, str) else json.dumps(value)


def problems(path: Path) -> list[str]:
    """What keeps a notebook from being committed; empty when it is clean."""
    notebook = read(path)
    found = []
    if path.stat().st_size > MAX_NOTEBOOK:
        found.append(f"is {path.stat().st_size / 1e6:.1f} MB, more than {MAX_NOTEBOOK / 1e6:.0f}")
    if len(tagged(notebook, "parameters")) != 1:
        found.append("needs exactly one cell tagged `parameters`")
    if tagged(notebook, "injected-parameters"):
        found.append("was run with parameters other than its own")
    if extra := set(notebook.metadata) - NOTEBOOK_METADATA:
        found.append(f"has metadata of one machine: {', '.join(sorted(extra))}")
    if [cell.id for cell in notebook.cells] != cell_ids(notebook):
        found.append("has cell ids that do not follow from the cells")

    counts = []
    for number, cell in enumerate(notebook.cells, start=1):
        where = f"cell {number}: "
        if extra := set(cell.metadata) - CELL_METADATA:
            found.append(f"{where}has metadata of one run: {', '.join(sorted(extra))}")
        if PATHS.search(cell.source):
            found.append(f"{where}names a path of one machine")
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        counts.append(cell.execution_count)
        if cell.source.rstrip().endswith(";"):  # IPython obeys it here, but not under nbval
            found.append(f"{where}ends with a semicolon; give the value a name instead")
        raises = "raises-exception" in cell.metadata.get("tags", [])
        for output in cell.outputs:
            if WIDGET in output.get("data", {}) and "widgets" not in notebook.metadata:
                found.append(f"{where}shows a widget whose state is not stored")
            if (size := len(json.dumps(output))) > MAX_OUTPUT:
                found.append(f"{where}has an output of {size / 1e3:.0f} kB")
            if output.get("name") == "stderr":
                found.append(f"{where}has output on stderr")
            if output.output_type == "error" and not raises:
                found.append(f"{where}ended with {output.ename}")
        local = [str(Path.home()) + os.sep, sys.prefix, str(ROOT)]
        for text in (IMAGES.sub("", raw) for raw in texts(cell)):
            if PATHS.search(text) or any(path in text for path in local):
                found.append(f"{where}prints a path of one machine")
    if counts != list(range(1, len(counts) + 1)):
        found.append("was not executed once, from top to bottom")
    return found


# --- executing --------------------------------------------------------------------------------


def fingerprint(files: Iterable[Path], root: Path = ROOT) -> str:
    """One hash over the names and contents of files."""
    total = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as handle:
            content = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return total.hexdigest()


def library(results: Path = RESULTS) -> str:
    """The state of everything that a notebook's outputs may depend on, besides itself.

    Of a study's results those are the verdicts: its pictures follow from the library.
    """
    files = [p for p in (ROOT / "fluxlens").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    verdicts = fingerprint(results.glob("*/verdicts/*/*.csv"), results)
    return fingerprint([*files, ROOT / "constraints.txt"]) + verdicts


def parameters_of(path: Path) -> set[str]:
    """The names that a notebook's cell of parameters assigns."""
    cells = tagged(read(path), "parameters")
    trees = [ast.parse(cell.source) for cell in cells]
    nodes = [node for tree in trees for node in tree.body]
    targets = [t for node in nodes if isinstance(node, ast.Assign) for t in node.targets]
    targets += [node.target for node in nodes if isinstance(node, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def state(notebook: NotebookNode, parameters: Mapping[str, Any], library: str) -> str:
    """What an executed copy is keyed on."""
    cells = [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in notebook.cells]
    return hashlib.sha256(json.dumps([cells, parameters, library]).encode()).hexdigest()


def execute_one(path: Path, into: Path, parameters: Mapping[str, Any], library: str) -> bool:
    """Run one notebook where it stands, unless its executed copy is fresh. True if it worked."""
    own = parameters_of(path)
    parameters = {name: value for name, value in parameters.items() if name in own}
    target, stamp = into / path.name, into / f"{path.stem}.key"
    key = state(read(path), parameters, library)
    if target.exists() and stamp.exists() and stamp.read_text() == key:
        print(f"  {path.name}: up to date", flush=True)
        return True
    into.mkdir(parents=True, exist_ok=True)
    part = into / f"{path.stem}.failed.ipynb"
    write(clean(read(path)), part)
    print(f"  {path.name}: executing", flush=True)
    stamp.unlink(missing_ok=True)
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            str(part),
            str(part),
            parameters=dict(parameters),
            kernel_name="python3",
            cwd=str(path.parent),
            progress_bar=False,
            extra_arguments=["--log-level=50"],  # the kernel's remarks on its own transport
        )
    except Exception as error:
        print(f"  {path.name}: FAILED, see {part}\n{error}", file=sys.stderr, flush=True)
        return False
    write(clean(read(part)), target)
    part.unlink()
    stamp.write_text(key)
    print(f"  {path.name}: done in {time.monotonic() - start:.1f} s", flush=True)
    return True


def execute(
    paths: Sequence[Path],
    into: Path = EXECUTED,
    parameters: Mapping[str, Any] | None = None,
    jobs: int = 1,
) -> bool:
    """Run notebooks, several at a time; all of them are tried even if one fails."""
    if not paths:
        print("  there are no notebooks yet")
        return True
    parameters = parameters or {}
    known = set().union(*map(parameters_of, {*committed(), *paths}))
    if unknown := sorted(set(parameters) - known):
        names = ", ".join(sorted(known))
        print(f"  no notebook has a parameter {', '.join(unknown)}; it is one of {names}")
        return False
    now = library(NOTEBOOKS / (parameters.get("results") or RESULTS))  # as the notebooks see it
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda path: execute_one(path, into, parameters, now), paths)
        return all(list(results))


# --- the book's sources -----------------------------------------------------------------------


def sources(executed: Path) -> dict[Path, Path]:
    """Every file the book is built from: where it goes, and where it comes from."""
    files = [ROOT / "_config.yml", ROOT / "_toc.yml"]
    files += [p for p in (ROOT / "book").rglob("*") if p.is_file() and p.suffix != ".pyc"]
    found = {path.relative_to(ROOT): path for path in files}
    for path in committed():
        found[path.relative_to(ROOT)] = executed / path.name
    return found


def stage(executed: Path = EXECUTED, into: Path = STAGED) -> bool:
    """Mirror the sources; files that did not change keep their time, so Sphinx skips them."""
    wanted = sources(executed)
    if missing := [str(to) for to, origin in wanted.items() if not origin.exists()]:
        print(f"  not executed yet: {', '.join(missing)}", file=sys.stderr)
        return False
    for to, origin in wanted.items():
        target = into / to
        if not target.exists() or target.read_bytes() != origin.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
    for path in [p for p in into.rglob("*") if p.is_file() and p.relative_to(into) not in wanted]:
        path.unlink()
    return True


# --- the command line -------------------------------------------------------------------------


def parameter(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value read as YAML: 3 is a number, [a, b] a list, null None, nothing ""."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        read = yaml.safe_load(value) if value else ""
        json.dumps(read)
    except (yaml.YAMLError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"{value!r} is no value: {error}") from None
    return name, read


def main(argv: Sequence[str] | None = None) -> int:
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks",
        description=summary,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = ["execute", "stage", "refresh", "clean", "check"]
    parser.add_argument("action", choices=actions)
    parser.add_argument("paths", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--into", type=Path, default=EXECUTED, help="folder of executed copies")
    parser.add_argument("--to", type=Path, default=STAGED, help="folder that `stage` writes")
    parser.add_argument("-p", "--parameter", type=parameter, action="append", default=[])
    parser.add_argument("-j", "--jobs", type=int, default=1, help="how many at a time")
    args = parser.parse_intermixed_args(argv)
    paths = [path.resolve() for path in args.paths] or committed()
    if args.action == "refresh" and args.parameter:
        parser.error("committed notebooks run with their own parameters")

    worked = True
    if args.action in {"execute", "refresh"}:
        worked = execute(paths, args.into, dict(args.parameter), args.jobs)
    if args.action == "stage":
        worked = stage(args.into, args.to)
    if args.action == "refresh" and worked:
        for path in paths:
            write(read(args.into / path.name), path)
    if args.action == "clean":
        for path in paths:
            write(clean(read(path)), path)
    if args.action in {"refresh", "clean", "check"}:
        for path in paths:
            for problem in problems(path):
                worked = False
                print(f"  {path.name}: {problem}", file=sys.stderr)
    return 0 if worked else 1


if __name__ == "__main__":
    sys.exit(main())
