"""Time cases against one another, and count the memory that they hold.

>>> cases = [Case("short", lambda: sum(range(9))), Case("long", lambda: sum(range(999)), "short")]
>>> [timing.name for timing in measure(cases, rounds=3)]
['short', 'long']

Other programs share a machine, so no time stands alone: every round runs every case once, and a
case's figure is the median over rounds of its time divided by that of its base in the same round.
"""

from __future__ import annotations

import gc
import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Case:
    """Something to run, and the case that its time is divided by (itself, if none)."""

    name: str
    run: Callable[[], Any]
    base: str | None = None
    goal: float | None = None  # the ratio it should not exceed


@dataclass
class Timing:
    """Ratios of a case to its base, one a round, by the clock and by processor time."""

    name: str
    base: str
    goal: float | None
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    wall_ratios: list[float] = field(default_factory=list)
    processor_ratios: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Medians, and the quartiles of the ratio by the clock."""
        quartiles = statistics.quantiles(self.wall_ratios, n=4, method="inclusive")
        return {
            "case": self.name,
            "base": self.base,
            "goal": self.goal,
            "ratio": round(statistics.median(self.wall_ratios), 4),
            "quartiles": [round(quartiles[0], 4), round(quartiles[2], 4)],
            "processor_ratio": round(statistics.median(self.processor_ratios), 4),
            "seconds": round(statistics.median(self.seconds), 4),
            "peak_bytes": self.peak_bytes,
        }


def measure(cases: Sequence[Case], rounds: int, memory: bool = True) -> list[Timing]:
    """Run all cases `rounds` times (2 or more), each time beginning with another one."""
    peaks = [peak_bytes(case.run) if memory else 0 for case in cases]
    timings = {case.name: Timing(case.name, case.base or case.name, case.goal) for case in cases}
    for case, peak in zip(cases, peaks, strict=True):
        if not memory:
            case.run()  # nothing is timed at its first run
        timings[case.name].peak_bytes = peak
    for n in range(rounds):
        shift = n % len(cases)
        for case in (*cases[shift:], *cases[:shift]):
            wall, processor = _time(case.run)
            timings[case.name].seconds.append(wall)
            timings[case.name].processor.append(processor)
        for timing in timings.values():
            base = timings[timing.base]
            timing.wall_ratios.append(timing.seconds[-1] / base.seconds[-1])
            timing.processor_ratios.append(timing.processor[-1] / base.processor[-1])
    return list(timings.values())


def _time(run: Callable[[], Any]) -> tuple[float, float]:
    gc.collect()
    gc.disable()
    try:
        _finish()
        wall, processor = time.perf_counter(), time.process_time()
        run()
        _finish()
        return time.perf_counter() - wall, time.process_time() - processor
    finally:
        gc.enable()


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes of tensors that a run made and held at one time; weights are not counted.

    CUDA's allocator counts for itself. On a CPU every operator's new storages are counted until
    they are freed, so what a kernel takes and returns inside one operator is not seen.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with _Held() as held:
        run()
    return held.peak


class _Held(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {id(x.untyped_storage()) for x in tree_leaves((args, kwargs)) if _is_tensor(x)}
        for made in filter(_is_tensor, tree_leaves(out)):
            storage = made.untyped_storage()
            key = id(storage)
            if key not in self.sizes and key not in given:
                self.sizes[key] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self._free, key)
        self.peak = max(self.peak, self.now)
        return out

    def _free(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
