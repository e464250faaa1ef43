"""How far a run is: a bar for each recipe and the time when it will be over.

>>> with Progress({"edit": 1360}, forwards=5440) as progress:
...     for made in maker.make(batch):
...         progress(made)
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from fluxlens.study.make import Made

__all__ = ["Progress"]

EVERY = 60.0  # seconds between two lines where there is no terminal


class Progress:
    """Counts work done. `shown`: None draws bars on a terminal, and prints lines elsewhere."""

    def __init__(
        self, missing: Mapping[str, int], forwards: int, shown: bool | None = None
    ) -> None:
        self.missing, self.due = dict(missing), forwards
        self.pictures: Counter[str] = Counter()
        self.forwards: Counter[str] = Counter()
        self.seconds: dict[str, float] = defaultdict(float)
        self._terminal = sys.stderr.isatty() if shown is None else shown
        self._lines = shown is None and not self._terminal
        self._start = self._said = time.monotonic()
        self._bars: dict[str, tqdm[Any]] = {
            recipe: tqdm(
                total=count, desc=f"{recipe:<19}", unit=" pictures", position=n,
                disable=not self._terminal,
            )
            for n, (recipe, count) in enumerate(self.missing.items())
        }  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for bar in self._bars.values():
            bar.close()

    def __call__(self, made: Made) -> None:
        self.pictures[made.recipe] += made.pictures
        self.forwards[made.recipe] += made.forwards
        self.seconds[made.recipe] += made.seconds
        bar = self._bars.get(made.recipe)
        if bar is not None and made.pictures:
            bar.set_postfix_str(f"all ends {self.end():%H:%M}", refresh=False)
            bar.update(made.pictures)
        if self._lines and time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            done, due = sum(self.pictures.values()), sum(self.missing.values())
            line = f"fluxlens: {done} of {due} pictures, ends about {self.end():%H:%M}"
            print(line, file=sys.stderr, flush=True)

    def end(self) -> datetime:
        """When all will be done, if forwards go on as fast as they went so far."""
        done = max(1, sum(self.forwards.values()))
        spent = time.monotonic() - self._start
        return datetime.now() + timedelta(seconds=spent * max(0, self.due - done) / done)
