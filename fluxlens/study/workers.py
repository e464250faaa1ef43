"""The same run by several workers: one Ray actor for each GPU, or for a share of the CPUs.

>>> run_with_workers("klein-9b", plan, "results", workers=8).made
14494

Batches are handed out one at a time. A worker that dies is replaced and its batch done by another;
`fluxlens.study.run.Work` gives up what fails twice. Workers write into `results` themselves: on a
cluster it is a folder that all machines share. On CPUs a worker has one thread, or OMP_NUM_THREADS
of them, however many workers there are: sums over as many threads give the same pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluxlens.optional import optional
from fluxlens.pipelines import Encodings
from fluxlens.study.make import Made, Maker
from fluxlens.study.memory import found_tokens
from fluxlens.study.paths import model_folder
from fluxlens.study.plan import Batch, Plan
from fluxlens.study.requests import ModelFacts, References, facts_of
from fluxlens.study.run import DEFAULTS, Settings, Summary, Work, conduct
from fluxlens.study.store import Store
from fluxlens.tasks import Assets

__all__ = ["run_with_workers"]


class Worker:
    """A process with a model of its own, which makes the batches that it is given."""

    def __init__(
        self,
        model: str,
        loading: Mapping[str, Any],
        results: Path,
        settings: Settings,
        threads: int | None,
    ) -> None:
        self.model, self.loading, self.results = model, dict(loading), results
        self.settings, self.threads = settings, threads

    def load(self) -> tuple[dict[str, Any], ModelFacts]:
        """Load the model, which may fail; its record and facts."""
        import torch

        import fluxlens as fl

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        editor = fl.load(self.model, **self.loading)
        self.store = Store(model_folder(self.results, editor.name))
        references = References(self.settings.assets)
        self.maker = Maker(editor, self.store, references, self.settings.remake)
        self.encodings = editor.encodings = Encodings(editor.pipe)  # as long as the process
        return editor.record(), facts_of(editor)

    def make(self, batch: Batch, later: frozenset[str]) -> list[Made]:
        """Make a batch; `later` are the prompts of those that nobody has begun."""
        if not hasattr(self, "maker"):
            self.load()
        made = list(self.maker.make(batch))
        self.encodings.keep(later)
        return made

    def find_tokens(self) -> int:
        """What fits into this worker's memory; all are taken to have as much."""
        return found_tokens(self.maker.editor)

    def close(self) -> None:
        """Leave nothing behind but pictures."""
        if hasattr(self, "store"):
            self.store.clean()


def run_with_workers(
    model: str,
    plan: Plan,
    results: Path | str = "results",
    settings: Settings = DEFAULTS,
    *,
    workers: int,
    **loading: Any,
) -> Summary:
    """Make a plan's missing pictures with `workers` processes; `loading` goes to `fluxlens.load`.

    Joins the Ray cluster that is running or that RAY_ADDRESS names, else starts one here.
    `MissingExtraError` if there is no Ray, `ValueError` without a GPU or a CPU for each worker.
    """
    with optional("ray", "several workers"):
        import ray
    if workers < 1:
        raise ValueError(f"there is at least one worker, not {workers}")
    settings = replace(settings, assets=_absolute(settings.assets or Assets.from_environment()))
    model = str(Path(model).resolve()) if Path(model).is_dir() else model
    results = Path(results).resolve()
    with _cluster(ray):
        options, threads = _share(ray, workers, loading.get("device"))
        actor = ray.remote(**options)(Worker)

        team = _Team(ray, lambda: actor.remote(model, loading, results, settings, threads))
        try:
            record, facts = ray.get(team.idle[0].load.remote())
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise ValueError(f"a worker died while it loaded {model}: {error}") from None
        team.wanted = workers
        store = Store(model_folder(results, facts.name))
        references = References(settings.assets)

        def find() -> int:
            try:
                return int(ray.get(team.idle[0].find_tokens.remote()))
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None

        return conduct(record, facts, plan, store, references, settings, find, team.work_off)


class _Team:
    """Workers, the first of them at once and the others with the first piece of work."""

    def __init__(self, ray: Any, start: Callable[[], Any]) -> None:
        self.ray, self.start, self.wanted = ray, start, 1
        self.idle = [start()]
        self.running: dict[Any, tuple[Any, Batch]] = {}

    def work_off(self, work: Work) -> None:
        """Hand out batches until all are done or given up."""
        more = min(self.wanted, len(work.todo)) - len(self.idle)
        self.idle += [self.start() for _ in range(more)]
        while True:
            while self.idle and (batch := work.next()):
                worker = self.idle.pop()
                self.running[worker.make.remote(batch, work.prompts)] = worker, batch
            if not self.running:
                break
            self._collect(work)
        for worker in self.idle:
            with suppress(self.ray.exceptions.RayError):
                self.ray.get(worker.close.remote())

    def _collect(self, work: Work) -> None:
        """Wait for the next batch to end, well or badly."""
        (ready,), _ = self.ray.wait(list(self.running), num_returns=1)
        worker, batch = self.running.pop(ready)
        try:
            pieces = self.ray.get(ready)
        except self.ray.exceptions.RayTaskError as error:
            work.failed(batch, f"{type(error.cause).__name__}: {error.cause}")
        except self.ray.exceptions.RayError:
            work.failed(batch, "its worker died")
            worker = self.start()
        else:
            work.done()
            for made in pieces:
                work.report(made)
        self.idle.append(worker)


@contextmanager
def _cluster(ray: Any) -> Iterator[None]:
    """A cluster to work in; ours alone is shut down after us."""
    if ray.is_initialized():
        yield
        return
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def _share(ray: Any, workers: int, device: Any) -> tuple[dict[str, Any], int | None]:
    """What Ray reserves for a worker, and its threads on a CPU."""
    has = ray.cluster_resources()
    gpus, cpus = int(has.get("GPU", 0)), int(has.get("CPU", 0))
    kind, count = ("CPU", cpus) if str(device) == "cpu" or not gpus else ("GPU", gpus)
    if workers > count:
        raise ValueError(f"{workers} workers need a {kind} each; there are {count}")
    if kind == "GPU":
        return {"num_gpus": 1}, None
    return {"num_cpus": 1}, int(os.environ.get("OMP_NUM_THREADS") or 1)


def _absolute(assets: Assets) -> Assets:
    paths = {name: path and path.resolve() for name, path in vars(assets).items()}
    return Assets(**paths)
