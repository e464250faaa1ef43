"""What a judge's tokens cost, and a budget that is never passed.

>>> price = load_prices().of("claude-opus-4-7")
>>> round(price.cost(input_tokens=4575, output_tokens=52), 4)  # the mean call of the study
0.0242
>>> budget = Budget(1.00)
>>> budget.reserve(0.05)  # before a call: the most that it can cost
>>> budget.settle(0.05, 0.02)  # after it: what it did cost
>>> budget.spent, budget.reserved
(0.02, 0.0)

The prices are data, with their date (``prices.toml``). The paper names its judge in Section 3
(Claude Opus 4.7) and gives no cost.
"""

from __future__ import annotations

import math
import re
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from fluxlens.judge.base import BudgetSpent

__all__ = ["Budget", "Price", "Prices", "image_tokens", "load_prices"]


@dataclass(frozen=True)
class Price:
    """USD for a million tokens of each kind, and the share of that which a batch costs."""

    input: float
    output: float
    cache_write: float
    cache_read: float
    batch: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
                raise ValueError(f"a price is a number of dollars, not {name} = {value!r}")

    def cost(
        self, input_tokens: float, output_tokens: float, cache_write: float = 0,
        cache_read: float = 0, *, batch: bool = False,
    ) -> float:  # fmt: skip
        """What a message has cost, from the four counts of its usage."""
        dollars = (
            input_tokens * self.input
            + output_tokens * self.output
            + cache_write * self.cache_write
            + cache_read * self.cache_read
        ) / 1e6
        return dollars * self.batch if batch else dollars

    def worst(self, input_tokens: int, output_tokens: int, *, batch: bool = False) -> float:
        """The most that a message can cost: all of its input at the dearest rate."""
        dearest = max(self.input, self.cache_write, self.cache_read)
        dollars = (input_tokens * dearest + output_tokens * self.output) / 1e6
        return dollars * self.batch if batch else dollars


@dataclass(frozen=True)
class Prices:
    """A table of prices with the day on which they were looked up."""

    date: str
    models: Mapping[str, Price]

    def of(self, model: str) -> Price:
        """The price of a model, with or without the date in its name.

        >>> load_prices().of("claude-haiku-4-5-20251001").input
        1.0
        """
        for name in (model, re.sub(r"-\d{8}$", "", model)):
            if name in self.models:
                return self.models[name]
        raise ValueError(
            f"no price is known for {model!r} (prices.toml of {self.date} has "
            f"{', '.join(self.models)}): give one with prices=Prices(date, {{{model!r}: Price(…)}})"
        )


def load_prices(text: str | None = None) -> Prices:
    """The shipped table, or one from the text of another such file."""
    if text is None:
        text = resources.files("fluxlens.judge").joinpath("prices.toml").read_text("utf-8")
    data = tomllib.loads(text)
    batch = data["batch"]
    models = {name: Price(**row, batch=batch) for name, row in data["models"].items()}
    return Prices(str(data["date"]), models)


def image_tokens(width: int, height: int) -> int:
    """No fewer tokens than an image counts for: 28-pixel patches, as measured for Opus 4.7, or the
    750 pixels a token of earlier models, whichever is more; without either's upper limit.

    >>> image_tokens(1024, 1024)
    1399
    """
    return max(math.ceil(width / 28) * math.ceil(height / 28), math.ceil(width * height / 750))


class Budget:
    """Dollars that may be spent, counted from several threads. ``limit`` None: as many as it takes.

    The money of a call is set aside before it is sent, so ``spent`` never passes ``limit``.
    """

    def __init__(self, limit: float | None = None) -> None:
        if limit is not None and not (math.isfinite(limit) and limit >= 0):
            raise ValueError(f"a budget is a number of dollars, not {limit!r}")
        self.limit = limit
        self.spent = 0.0
        self.reserved = 0.0
        self._brought: set[str] = set()
        self._lock = threading.Lock()

    def bring(self, source: str, dollars: float) -> None:
        """Count what earlier runs have spent, once for each source (a file of verdicts).

        `ValueError` for what is no number of dollars from 0 on.
        """
        if not (math.isfinite(dollars) and dollars >= 0):
            raise ValueError(f"{source}: what was spent is no number of dollars: {dollars!r}")
        with self._lock:
            if source not in self._brought:
                self._brought.add(source)
                self.spent += dollars

    def reserve(self, dollars: float, *, sent: bool = False) -> None:
        """Set money aside for a call, or raise `BudgetSpent`; never for one that is ``sent``."""
        with self._lock:
            after = self.spent + self.reserved + dollars
            if not sent and self.limit is not None and after > self.limit:
                raise BudgetSpent(
                    f"the next question may cost ${dollars:.4f}; ${self.spent:.4f} of the budget "
                    f"of ${self.limit:.2f} is spent and ${self.reserved:.4f} is set aside"
                )
            self.reserved += dollars

    def settle(self, reserved: float, spent: float) -> None:
        """Give back what a call had set aside and count what it cost."""
        with self._lock:
            self.reserved = max(0.0, self.reserved - reserved)
            self.spent += spent
