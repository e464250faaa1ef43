"""Reference pictures: drawn, or found on disk; and what to fetch when they are not there.

>>> reference_image(mini_tasks(["color"])[0]).size
(96, 96)
>>> print(report(missing(paper_tasks(families=["people_shared"]), Assets())))
10 of 10 pictures are missing: photographs of the ten people of DreamBench++
...

Sources and licences are those of the paper's Appendix G. References are prepared as the authors'
released code does, except that transparency is laid on white (:mod:`fluxlens.references`).
"""

from __future__ import annotations

import io
import os
import tomllib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image

from fluxlens.mini.world import NO_FREE
from fluxlens.references import prepare
from fluxlens.tasks.paper import clone_path
from fluxlens.tasks.task import Task

__all__ = ["Assets", "Missing", "MissingAssetsError", "available", "download_dreambench", "missing",
           "reference_file", "reference_image", "report", "require"]  # fmt: skip

SOURCES = tomllib.loads(files("fluxlens.tasks").joinpath("assets.toml").read_text("utf-8"))
SUFFIXES = (".jpg", ".jpeg", ".png")
DREAMBENCH = "yuangpeng/dreambench_plus"
DREAMBENCH_COMMIT = "d5b0c8a2a87fdae6ecf63fb18119a2e1dc67a38c"


class MissingAssetsError(ValueError):
    """Reference pictures are not on this machine; the message says where to fetch them."""


@dataclass(frozen=True)
class Assets:
    """Where reference pictures lie: a clone of the authors' repository and two datasets."""

    data: Path | None = None
    sun397: Path | None = None  # the folder that holds a/, b/, c/ …
    dreambench: Path | None = None  # data.zip, or the folder it unpacks to

    @classmethod
    def from_environment(cls, data: Path | None = None) -> Assets:
        """As FLUXLENS_PAPER_DATA, FLUXLENS_SUN397 and FLUXLENS_DREAMBENCH say."""
        found = {k: os.environ.get(f"FLUXLENS_{k}") for k in ("PAPER_DATA", "SUN397", "DREAMBENCH")}
        paths = {k: Path(v) if v else None for k, v in found.items()}
        zipped = paths["DREAMBENCH"] or _downloaded()
        return cls(data or paths["PAPER_DATA"], paths["SUN397"], zipped)


@dataclass(frozen=True)
class Missing:
    """The pictures of one source that are not there, and those of it that the tasks need."""

    source: str
    paths: tuple[str, ...]
    needed: int


def _downloaded() -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(
        DREAMBENCH, "data.zip", revision=DREAMBENCH_COMMIT, repo_type="dataset"
    )
    return Path(found) if isinstance(found, str) else None


def download_dreambench() -> Path:
    """Fetch DreamBench++ (15 MB) from its hub dataset; the path of its data.zip."""
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(DREAMBENCH, "data.zip", revision=DREAMBENCH_COMMIT, repo_type="dataset")
    )


def _in_clone(task: Task, assets: Assets) -> Path | None:
    name = clone_path(task)
    if assets.data is None or name is None:
        return None
    path = assets.data / name
    candidates = [path] if path.suffix else [path.with_name(path.name + s) for s in SUFFIXES]
    return next((p for p in candidates if p.is_file()), None)


def reference_file(task: Task, assets: Assets) -> Path | io.BytesIO | None:
    """The file of a reference, or its bytes out of a zip; None if it is nowhere to be found."""
    if found := _in_clone(task, assets):
        return found
    name = task.reference.path or ""
    if task.reference.kind == "sun397" and assets.sun397 is not None:
        path = assets.sun397 / name
        return path if path.is_file() else None
    if task.reference.kind == "dreambench" and assets.dreambench is not None:
        if assets.dreambench.is_dir():
            paths = [assets.dreambench / name, assets.dreambench / "data" / name]
            return next((p for p in paths if p.is_file()), None)
        if assets.dreambench.is_file():
            with zipfile.ZipFile(assets.dreambench) as archive:
                members = [m for m in archive.namelist() if m.endswith(name)]
                return io.BytesIO(archive.read(members[0])) if members else None
    return None


def reference_image(task: Task, assets: Assets | None = None) -> Image.Image:
    """A task's reference, as the paper gives it to the model: RGB, at the size it is used.

    ``assets`` says where the paper's pictures lie (default: what the environment names). mini's
    references are drawn, one picture for all tasks that share it.
    """
    reference = task.reference
    if reference.rgb is not None:
        return Image.new("RGB", (task.width, task.height), reference.rgb)
    if reference.drawing is not None:
        return reference.drawing.draw(NO_FREE)
    assets = Assets.from_environment() if assets is None else assets
    found = reference_file(task, assets)
    if found is None:
        raise MissingAssetsError(report(missing([task], assets)))
    try:
        with Image.open(found) as file:
            image = prepare(file)
    except (Image.DecompressionBombError, SyntaxError, OSError) as error:
        raise ValueError(f"{found} is no picture to be used: {error}") from None
    if reference.kind == "style":
        return _crop(image)
    size = (task.width, task.height)
    return image if image.size == size else image.resize(size)


def _crop(image: Image.Image) -> Image.Image:
    """The middle of an image, each side a multiple of 16."""
    width, height = (side // 16 * 16 for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def available(tasks: Iterable[Task], assets: Assets) -> list[Task]:
    """The tasks whose references can be had, for a trial with what there is."""
    tasks = list(tasks)
    lost = {path for item in missing(tasks, assets) for path in item.paths}
    return [task for task in tasks if task.reference.path not in lost]


def missing(tasks: Iterable[Task], assets: Assets) -> list[Missing]:
    """Every reference of these tasks that is nowhere to be found, by source."""
    needed: dict[str, dict[str, Task]] = {}
    for task in tasks:
        if task.reference.kind in SOURCES and task.reference.path is not None:
            needed.setdefault(task.reference.kind, {})[task.reference.path] = task
    out = []
    for source, references in needed.items():
        lost = tuple(
            path for path, task in references.items() if reference_file(task, assets) is None
        )
        if lost:
            out.append(Missing(source, lost, len(references)))
    return out


def report(lost: Iterable[Missing]) -> str:
    """One message: what to fetch, from where, under which licence. Empty if nothing is missing."""
    lines = []
    for item in lost:
        source = SOURCES[item.source]
        count = f"{len(item.paths)} of {item.needed} pictures"
        verb = "are" if item.needed > 1 else "is"
        lines += [f"{count} {verb} missing: {source['what']}", f"  from {source['where']}"]
        lines += [f"  licence: {source['licence']}"]
        if item.source == "style":
            lines += [f"    {path}: {_origin(path)}" for path in item.paths]
        else:
            more = f" and {len(item.paths) - 3} more" if len(item.paths) > 3 else ""
            lines.append(f"    {', '.join(item.paths[:3])}{more}")
    return "\n".join(lines)


def _origin(path: str) -> str:
    """Where a style reference was first found, and its own licence."""
    name = Path(path).name
    drawn, drawn_licence, photo, photo_licence = SOURCES["subjects"][name.removesuffix("_real")]
    if "/real/" in path:
        return f"{photo} ({photo_licence})"
    return f"{drawn} ({drawn_licence})"


def require(tasks: Iterable[Task], assets: Assets) -> None:
    """Raise :class:`MissingAssetsError`, with everything in one message, before a run starts."""
    if lost := missing(tasks, assets):
        raise MissingAssetsError(report(lost))
