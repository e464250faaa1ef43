"""Interventions over compiled blocks beside the same over plain ones.

Blocks that an intervention hears run as they are until it closes, all others run compiled; so a
compiled model loses under an intervention at most what compiling had won it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import fluxlens as fl

from .measure import Case
from .recipes import PROMPT, load, picture


def cases(model: str | None, side: int) -> list[Case]:
    """Each run over plain blocks, and over those of a second copy that is compiled."""
    plain, compiled = load(model), load(model)
    compiled.pipe.transformer.compile_repeated_blocks()
    out = []
    for (name, run), (_, other) in zip(_runs(plain, side), _runs(compiled, side), strict=True):
        other()  # compiles, which no round is to pay for
        out += [Case(name, run), Case(f"{name}, compiled", other, name)]
    return out


def _runs(flux: fl.Editor, side: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    ref, block = picture(side, 1), flux.binding.style
    with flux.capture(block) as acts:
        flux.edit(PROMPT, ref, seed=0)

    def edit() -> Any:
        return flux.edit(PROMPT, ref, seed=0)

    def under(context: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> None:
            with context():
                edit()

        return run

    yield "edit", edit
    yield f"capture at {block}", under(lambda: flux.capture(block))
    yield f"patch at {block}", under(lambda: flux.patch(acts))
    yield f"ref->image at {block}", under(lambda: flux.knockout("ref->image", blocks=block))
    yield "ref->image", under(lambda: flux.knockout("ref->image"))
