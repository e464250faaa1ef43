"""Start runs late, from what an equal run has made.

Context: until a patch acts, a patched run is the run that it patches. Details: rows of the first
step are kept behind a block (in main memory), and a later run with the same rows, whose
interventions do nothing up to that block, begins there. Intuition: several patches of one edit
share its beginning with the edit itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .models import Flux
    from .sampler import Row

State = tuple[Tensor, ...]  # what a block gives for one row: (text, rest), or the joint sequence


class Starts:
    """Where runs of some rows may begin: ``Starts({"double.7": rows})``, behind those blocks.

    ```python
    starts = Starts({block: rows})
    with starts.open(flux):
        sample(flux, rows)                       # kept on the way
        with flux.patch(acts):
            sample(flux, rows)                   # begins behind `block`
    ```
    """

    def __init__(self, wanted: Mapping[str, Sequence[Row]]) -> None:
        self._wanted = {block: {_key(row) for row in rows} for block, rows in wanted.items()}
        self._states: dict[Any, State] = {}
        self._time: float | None = None

    @contextmanager
    def open(self, flux: Flux) -> Iterator[None]:
        """Let the sampler keep and use them."""
        before, flux.watch.starts = flux.watch.starts, self
        try:
            yield
        finally:
            flux.watch.starts = before

    def missing(self, block: str, rows: Sequence[Row]) -> list[Row]:
        """Those of `rows` that are not kept behind `block`."""
        return [row for row in rows if (block, _key(row)) not in self._states]

    @contextmanager
    def first_step(self, flux: Flux, rows: Sequence[Row], time: float) -> Iterator[None]:
        """The first step of a run: begun late where that is known, kept where it is wanted."""
        idle = flux.watch.equal_up_to() if flux.watch.contexts else 0
        block = flux.blocks[idle - 1] if idle else ""
        keys = [(block, _key(row)) for row in rows]
        with ExitStack() as stack:
            if time == self._time and all(key in self._states for key in keys):
                stack.enter_context(_resumed(flux, block, [self._states[key] for key in keys]))
            else:
                alike = flux.blocks[: flux.watch.equal_up_to(reading=False)]
                for name, wanted in self._wanted.items():
                    if name not in alike:
                        continue
                    at = {n: (name, key) for n, (_, key) in enumerate(keys) if key in wanted}
                    if at:
                        stack.enter_context(self._kept(flux, name, at))
                self._time = time if self._time is None else self._time
            yield

    @contextmanager
    def _kept(self, flux: Flux, block: str, at: Mapping[int, Any]) -> Iterator[None]:
        def keep(module: Any, args: Any, output: Any) -> None:
            parts = output if isinstance(output, tuple) else (output,)
            for n, key in at.items():
                self._states[key] = tuple(part[n].to("cpu", copy=True) for part in parts)

        # first of all hooks: before anybody writes there
        handle = flux.module(block).register_forward_hook(keep, prepend=True)
        try:
            yield
        finally:
            handle.remove()


def _key(row: Row) -> Any:
    """What makes the first step of a row."""
    pixels = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in row.refs)
    return row.prompt, row.seed, row.size, row.grids, pixels


@contextmanager
def _resumed(flux: Flux, block: str, states: Sequence[State]) -> Iterator[None]:
    """Blocks up to `block` do nothing, and there the states come out, before anybody hears it."""
    modules: list[Any] = [flux.module(name) for name in flux.blocks[: flux.blocks.index(block) + 1]]
    if any("forward" in vars(module) for module in modules):
        yield  # offloading moves them in a forward of its own
        return

    def skip(hidden_states: Tensor, encoder_hidden_states: Tensor | None, **_: Any) -> Any:
        if encoder_hidden_states is None:
            return hidden_states
        return encoder_hidden_states, hidden_states

    def begin(hidden_states: Tensor, **_: Any) -> Any:
        parts = zip(*states, strict=True)
        joined = tuple(torch.stack(part).to(hidden_states.device) for part in parts)
        return joined if len(joined) > 1 else joined[0]

    try:
        for module in modules:
            module.forward = skip if module is not modules[-1] else begin
        yield
    finally:
        for module in modules:
            vars(module).pop("forward", None)
