"""Verdict files as they lie on disk, and what an entity's id tells of it.

```python
read_verdicts(Path("results/mini/verdicts/oracle"))["ko_color_ref_to_text"]
```
The columns are the authors' (Appendix E), more may follow:
``entity_id,pass,reason,model,input_tokens,output_tokens``.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .paper import CellPlan, load_paper

NULL = "__null"
QUESTIONS = Path(__file__).with_name("judge") / "questions.toml"
YES, NO = {"1", "1.0", "true"}, {"0", "0.0", "false"}


@dataclass(frozen=True)
class Verdict:
    """One answer: ``verdicts[judge][entity_id].passed`` (Appendix E).

    `reason` and `model` are what a file says: untrusted text, to be escaped wherever it is shown.
    `polarity` says which answer the table counts where the question is not the paper's own.
    """

    entity_id: str
    passed: bool
    reason: str = ""
    model: str = ""
    polarity: str = ""


Verdicts = dict[str, dict[str, Verdict]]


@cache
def polarities(questions: str) -> dict[str, str]:
    """``polarities("blind")["ko_color_ref_to_text"] == "fails"``: what counts in a question set."""
    data = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))
    if questions not in data["sets"]:
        raise ValueError(f"no questions {questions!r}; sets are {', '.join(data['sets'])}")
    texts = data["sets"][questions]["questions"]
    counts = {entry["name"]: texts[entry["questions"][questions]] for entry in data["judges"]}
    return {name: {"pass": "passes", "fail": "fails"}[q["counts"]] for name, q in counts.items()}


def _polarity(judge: str, path: Path, questions: str | None) -> str:
    """A set of questions other than the paper's has a folder of its own, ``oracle-blind``."""
    if questions is None:
        near = [parent.name.removesuffix(NULL) for parent in path.resolve().parents[:2]]
        questions = "blind" if any(name.endswith("-blind") for name in near) else "paper"
    if questions == "paper":
        return ""
    return polarities(questions).get(judge.partition("__")[0], "")


def _rows(path: Path, polarity: str) -> Iterator[Verdict]:
    """The verdicts of one file; rows without one (a blank pass, a torn last line) are left out."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None:
                return
            if not {"entity_id", "pass"} <= set(reader.fieldnames):
                if path.stem.removesuffix(NULL) in load_paper().judges:
                    raise ValueError(f"{path} has no columns entity_id and pass")
                return  # some other table that lies beside the verdicts
            for row in reader:
                entity, word = row["entity_id"], (row["pass"] or "").strip().lower()
                if not entity or not word:
                    continue
                if word not in YES | NO:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: pass is 1, 0 or blank, not {word[:20]!r}"
                    )
                reason, model = row.get("reason") or "", row.get("model") or ""
                yield Verdict(entity, word in YES, reason, model, polarity)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a verdict file: {error}") from error


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every verdict file with the name of its judge, however the folder is laid out."""
    known = set(load_paper().judges)
    whole: list[str] = []
    for path in sorted(folder.glob("*.csv")):
        yield path.stem, path
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        name, null = sub.name.removesuffix(NULL), NULL if sub.name.endswith(NULL) else ""
        files = sorted(sub.glob("*.csv"))
        # a folder of one question, or the folder of a whole judge with a file for each question?
        if name in known or not any(path.stem.removesuffix(NULL) in known for path in files):
            yield from ((sub.name, path) for path in files)
            continue
        whole += [] if null else [name]
        if len(whole) > 1:
            raise ValueError(f"{folder} holds several judges; name one: {', '.join(whole)}")
        yield from ((path.stem.removesuffix(NULL) + null, path) for path in files)
    here = folder.resolve()
    beside = here.with_name(here.name + NULL)
    if beside.is_dir() and not here.name.endswith(NULL):
        yield from ((name.removesuffix(NULL) + NULL, path) for name, path in _files(beside))


def read_verdicts(folder: Path | str, questions: str | None = None) -> Verdicts:
    """``read_verdicts("results/mini/verdicts/oracle")``: judge → entity → its last verdict.

    ``<folder>/<judge>.csv`` (as the authors publish them) and ``<folder>/<judge>/*.csv`` are both
    read. A judge's answers on images where nothing was done are under ``<judge>__null``, or all in
    a folder beside this one whose name ends in ``__null``; those on pictures of no table's, under
    ``<judge>__<variant>`` (see `fluxlens.study.asked`). `questions` is the set that was asked,
    ``paper`` or ``blind``, whose answers may count the other way round; a folder tells by its name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; verdicts come from `fluxlens judge`")
    verdicts: Verdicts = {}
    for judge, path in _files(folder):
        for verdict in _rows(path, _polarity(judge, path, questions)):
            verdicts.setdefault(judge, {})[verdict.entity_id] = verdict
    return verdicts


def counted(plan: CellPlan, verdicts: Verdicts, suffix: str = "") -> dict[str, bool]:
    """Entity → whether the table counts its verdict, for one cell."""
    found = verdicts.get(plan.judge + suffix, {})
    return {entity: counts(verdict, plan.polarity) for entity, verdict in found.items()}


def counts(verdict: Verdict, polarity: str) -> bool:
    return verdict.passed == ((verdict.polarity or polarity) == "passes")


SCENE = re.compile(r"(?:add|remove)_([^_]+)_(.+?)__.+")
COLOR = re.compile(r"solid_([^_]+)_.+")
PERSON = re.compile(r"customize_(.+?)_(?:live_subject_)?human(?:_shared)?_(\d+)(?:_.*)?")
STYLE = re.compile(r"customize_property_style_[^_]+_(.+)_s\d+")
REAL = re.compile(r"manual_[^_]+_(.+?)_real_.+")


def place(entity_id: str) -> tuple[str, str]:
    """``place("solid_red_mug_s0") == ("solid colors", "red")``: dataset and cluster (Section 4.1).

    The cluster is the color, the style subject, the person or the scene category; of a patching
    pair (``source__target``), the source's. An id of another form is its own cluster. Datasets bear
    the names that ids give them: ``sun397``, ``dreambench_plus``, and ``drawn`` for mini's scenes.
    """
    if found := SCENE.fullmatch(entity_id):
        return found[1], found[2]
    source = entity_id.split("__")[0]
    if found := COLOR.fullmatch(source):
        return "solid colors", found[1]
    if found := PERSON.fullmatch(source):
        return found[1], f"person {found[2]}"
    if found := REAL.fullmatch(source):
        return "real photographs", found[1]
    if found := STYLE.fullmatch(source):
        subjects = [s for s in load_paper().subjects if found[1].startswith(f"{s}_")]
        return "style references", max(subjects, key=len, default=found[1])
    return "other", entity_id
