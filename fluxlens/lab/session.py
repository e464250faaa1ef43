"""What the live panel does: one request, one recipe, the pictures to set side by side.

```python
session = Session(editor)
answer = session.run(Request("draw a mug in this color", red, "T2I Lens", "double.2"))
answer.pictures["result"], answer.seconds, answer.call
```
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from fluxlens import recipes

if TYPE_CHECKING:
    from fluxlens.editor import Editor

KEPT = 16  # baseline edits: as many as one goes back and forth between


RECIPES = {recipe.title: recipe for recipe in recipes.RECIPES.values()}


def offered(editor: Editor) -> tuple[str, ...]:
    """List the recipes that the model's family does not refuse, as the panel names them."""
    return tuple(t for t, recipe in RECIPES.items() if recipe.name not in editor.family.refusals)


def places(editor: Editor, recipe: str) -> tuple[str, ...]:
    """Where a recipe's slider can stand: ``places(editor, "T2I Lens")`` is ``editor.blocks``."""
    stacks = (f"{stack}.*" for stack in editor.family.stacks)
    first = {"block": (), "after": ("none",), "blocks": ("*", *stacks)}
    return (*first[str(RECIPES[recipe].sweeps)], *editor.blocks)


def default_place(editor: Editor, recipe: str) -> str:
    """Where it stands first: the recipe's own default."""
    binding = RECIPES[recipe].binding
    return "*" if binding is None else str(getattr(editor.binding, binding))


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
    """Runs requests on one model and keeps the latest baseline edits: ``Session(editor)``."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
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
        settings: dict[str, Any] = {"seed": request.seed, str(recipe.sweeps): request.place}
        if recipe.pair:
            if request.source is None:
                raise ValueError(f"{request.recipe} needs a second reference, the patch's source")
            images = {"source": request.source, "target": request.reference}
            settings["seeds"] = settings.pop("seed") + 1, request.seed
        if recipe.moves:
            settings["tokens"] = request.tokens
        if recipe.cuts:
            cuts = tuple(edge.strip() for edge in request.cut.split(","))
            settings["cut"] = cuts if len(cuts) > 1 else cuts[0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            start = time.perf_counter()
            result = recipe.run(self.editor, request.prompt, **images, **settings).image
            seconds = time.perf_counter() - start
            edit = self._edit(request)
        shown = {"source": request.source} if request.source and recipe.pair else {}
        said = [f"{name}={name}" for name in images]
        said += [f"{name}={value!r}" for name, value in settings.items()]
        return Answer(
            {**shown, "reference": request.reference, "edit": edit, "result": result},
            seconds,
            f"fl.{recipe.name}(editor, {request.prompt!r}, {', '.join(said)})",
            tuple(dict.fromkeys(str(warning.message) for warning in caught)),
        )

    def _edit(self, request: Request) -> Image.Image:
        ref = request.reference
        key = request.prompt, request.seed, ref.mode, ref.size, ref.tobytes()
        if key not in self._edits:
            self._edits[key] = self.editor.edit(request.prompt, ref=ref, seed=request.seed)
            if len(self._edits) > KEPT:
                del self._edits[next(iter(self._edits))]
        return self._edits[key]
