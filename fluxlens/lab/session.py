"""What the live panel does: one request, one recipe, the pictures to set side by side.

```python
session = Session(flux)
answer = session.run(Request("draw a mug in this color", red, "T2I Lens", "double.2"))
answer.pictures["result"], answer.seconds, answer.call
```
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from fluxlens.recipes import (
    Result,
    attention_knockout,
    color_lens,
    drop_reference,
    i2i_patch,
    t2i_lens,
)

if TYPE_CHECKING:
    from fluxlens.editor import Editor

KEPT = 16  # baseline edits: as many as one goes back and forth between


@dataclass(frozen=True)
class Recipe:
    """A recipe as the panel offers it: which argument its slider sets, and what else it reads."""

    run: Callable[..., Result]
    slides: Literal["block", "blocks", "after"] = "block"
    tokens: bool = False
    cut: bool = False
    source: bool = False


RECIPES: dict[str, Recipe] = {
    "T2I Lens": Recipe(t2i_lens, tokens=True),
    "color lens": Recipe(color_lens, tokens=True),
    "attention knockout": Recipe(attention_knockout, "blocks", cut=True),
    "reference dropped": Recipe(drop_reference, "after"),
    "I2I-to-I2I patching": Recipe(i2i_patch, tokens=True, source=True),
}


def places(flux: Editor, recipe: str) -> tuple[str, ...]:
    """Where a recipe's slider can stand: ``places(flux, "T2I Lens")`` is ``flux.blocks``."""
    first: dict[str, tuple[str, ...]] = {
        "block": (), "after": ("none",), "blocks": ("*", "double.*", "single.*"),
    }  # fmt: skip
    return first[RECIPES[recipe].slides] + flux.blocks


def default_place(flux: Editor, recipe: str) -> str:
    """Where it stands first: the recipe's own default."""
    if RECIPES[recipe].slides == "blocks":
        return "*"
    return flux.binding.color if RECIPES[recipe].run is color_lens else flux.binding.style


@dataclass(frozen=True)
class Request:
    """What to run. `place` is a block, a cutoff or blocks, as the recipe's slider has it.

    `tokens`, `cut` and `source` (the reference that a patch comes from) are read by the recipes
    that have them.
    """

    prompt: str
    reference: Image.Image
    recipe: str
    place: str
    tokens: str = "all"
    cut: str = "ref->text"
    seed: int = 0
    source: Image.Image | None = None


@dataclass(frozen=True)
class Answer:
    """Pictures by name, the seconds that the recipe took, its call, and what was warned of."""

    pictures: dict[str, Image.Image]
    seconds: float
    call: str
    warnings: tuple[str, ...] = ()


class Session:
    """Runs requests on one model and keeps the latest baseline edits: ``Session(flux)``."""

    def __init__(self, flux: Editor) -> None:
        self.flux = flux
        self._edits: dict[tuple[Any, ...], Image.Image] = {}

    def run(self, request: Request) -> Answer:
        """The reference, the edit that nothing disturbs, and the recipe's picture.

        A patch goes from the source's edit at ``seed + 1`` to the reference's at ``seed``. Whatever
        the recipe refuses (`ValueError`, `TypeError`) is raised, before any work.
        """
        if request.recipe not in RECIPES:
            raise ValueError(f"unknown recipe {request.recipe!r}; recipes are {', '.join(RECIPES)}")
        recipe = RECIPES[request.recipe]
        images = {"ref": request.reference}
        settings: dict[str, Any] = {"seed": request.seed, recipe.slides: request.place}
        if recipe.source:
            if request.source is None:
                raise ValueError(f"{request.recipe} needs a second reference, the patch's source")
            images = {"source": request.source, "target": request.reference}
            settings["seeds"] = settings.pop("seed") + 1, request.seed
        if recipe.tokens:
            settings["tokens"] = request.tokens
        if recipe.cut:
            cuts = tuple(edge.strip() for edge in request.cut.split(","))
            settings["cut"] = cuts if len(cuts) > 1 else cuts[0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            start = time.perf_counter()
            result = recipe.run(self.flux, request.prompt, **images, **settings).image
            seconds = time.perf_counter() - start
            edit = self._edit(request)
        shown = {"source": request.source} if request.source and recipe.source else {}
        said = [f"{name}={name}" for name in images]
        said += [f"{name}={value!r}" for name, value in settings.items()]
        return Answer(
            {**shown, "reference": request.reference, "edit": edit, "result": result},
            seconds,
            f"fl.{recipe.run.__name__}(flux, {request.prompt!r}, {', '.join(said)})",
            tuple(dict.fromkeys(str(warning.message) for warning in caught)),
        )

    def _edit(self, request: Request) -> Image.Image:
        ref = request.reference
        key = request.prompt, request.seed, ref.mode, ref.size, ref.tobytes()
        if key not in self._edits:
            self._edits[key] = self.flux.edit(request.prompt, ref=ref, seed=request.seed)
            if len(self._edits) > KEPT:
                del self._edits[next(iter(self._edits))]
        return self._edits[key]
