"""What is done to make a picture: a record for each recipe, and the names that its files bear.

>>> Steering(strength=0.5).variant, Lens("all", block="double.1").variant
('padding-x0.5', 'all@double.1')
>>> treatment("generation", "clean-1-step")
Generation(prompt='instruction', steps=1)

The recipes' facts stand in `fluxlens.recipes.RECIPES`; the rows of what only a study makes (plain
edits, generations, controls) stand here. Files, tables and predictions name a treatment by its
recipe and its variant; `treatment` is the one reader of such names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from fluxlens.editor import Editor
from fluxlens.recipes import PREFIX, RECIPES, Depth, Recipe, i2i_patch

__all__ = [
    "TREATMENTS", "ColorLens", "Control", "Drop", "Edit", "Generation", "Knockout", "Lens", "Moved",
    "Patching", "Placebo", "Steering", "Treatment", "treatment",
]  # fmt: skip

PLACEBOS = ("same-run", "like-target", "like-source", "shuffled", "mean", "noise")


@dataclass(frozen=True)
class Treatment:
    """What is done in a run of the model; subclasses say what, and `recipe` is their row."""

    recipe: ClassVar[Recipe]
    # whose question a judge is asked where the tables have none about it
    sibling: ClassVar[type[Treatment] | None] = None

    @property
    def variant(self) -> str:
        """Its name beside the recipe's: of a folder, and in tables and predictions."""
        raise NotImplementedError

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read such a name; `ValueError` for one that no treatment has."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Its recipe's name."""
        return self.recipe.name

    @property
    def order(self) -> tuple[int, str]:
        """Where it stands among a unit's: those that read the source run come first."""
        return list(TREATMENTS).index(self.name), self.variant

    @property
    def steps(self) -> int | None:
        """Denoising steps of its own run; None for the model's own number."""
        return self.recipe.steps

    @property
    def block(self) -> str | None:
        """The block that it names; None for a binding block, or where there is none."""
        return None

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the text that it names."""
        return ()

    @property
    def beside(self) -> Treatment | None:
        """What a judge sees beside it: the plain edit, or a lens's clean generation."""
        return Edit()

    @property
    def undone(self) -> Treatment:
        """The picture in which nothing was done, which is its null control."""
        return Edit()

    @property
    def from_nothing(self) -> bool:
        """Whether its own run is of the empty prompt."""
        return False

    def binding(self, family: str) -> Depth | None:
        """The binding block that it is about in a family of tasks, unless it names another."""
        if self.recipe.binding is None:
            return None
        if not self.recipe.by_property:
            return self.recipe.binding
        return "color" if family == "color" else "style"

    def forward(self, block: str | None) -> dict[str, Any]:
        """What a forward of its run spares; `block` is the binding block that it is about."""
        return {}


def _unread(cls: type[Treatment], variant: str, there: str) -> ValueError:
    return ValueError(f"no {cls.recipe.name} is called {variant!r}; its names are {there}")


@dataclass(frozen=True)
class Edit(Treatment):
    """The edit that nothing disturbs: ``Edit()``."""

    recipe: ClassVar[Recipe] = Recipe("edit", Editor.edit, "edit", binding=None)

    @property
    def variant(self) -> str:
        """``plain``."""
        return "plain"

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read ``plain``."""
        if variant != "plain":
            raise _unread(cls, variant, "plain")
        return cls()

    @property
    def beside(self) -> Treatment | None:
        """Nothing: it is what others stand beside."""
        return None


@dataclass(frozen=True)
class Generation(Treatment):
    """A lens's run without the lens: ``Generation("empty", steps=1)``.

    `prompt` is the task's instruction, or empty; `steps` are the model's own unless given.
    """

    recipe: ClassVar[Recipe] = Recipe(
        "generation", Editor.generate, "generation", binding=None, reads_ref=False
    )
    NAMES: ClassVar[Mapping[str, str]] = {"instruction": "clean", "empty": "empty"}
    prompt: Literal["instruction", "empty"] = "instruction"
    steps: int | None = None

    @property
    def variant(self) -> str:
        """``clean`` or ``empty``, with ``-1-step`` after it for a run of one step."""
        return self.NAMES[self.prompt] + (f"-{self.steps}-step" if self.steps else "")

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read ``clean`` or ``empty-1-step``."""
        found = re.fullmatch(r"(clean|empty)(?:-(\d+)-step)?", variant)
        if found is None:
            raise _unread(cls, variant, "clean, empty, clean-1-step, empty-1-step")
        prompt: Any = {name: prompt for prompt, name in cls.NAMES.items()}[found[1]]
        return cls(prompt, int(found[2]) if found[2] else None)

    @property
    def from_nothing(self) -> bool:
        """Whether it is of the empty prompt."""
        return self.prompt == "empty"

    @property
    def beside(self) -> Treatment | None:
        """Nothing: it is what lenses stand beside."""
        return None


@dataclass(frozen=True)
class Moved(Treatment):
    """Text tokens carried from a source edit: `tokens`, after `block` or the binding block."""

    tokens: str = "all"
    block: str | None = None

    @property
    def variant(self) -> str:
        """The tokens, with ``@double.3`` after them for a block of their own."""
        return self.tokens + (f"@{self.block}" if self.block else "")

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read ``padding`` or ``all@double.1``."""
        tokens, _, block = variant.partition("@")
        return cls(tokens, block or None)

    @property
    def parts(self) -> tuple[str, ...]:
        """Its tokens."""
        return (self.tokens,)


@dataclass(frozen=True)
class Lens(Moved):
    """The T2I Lens: ``Lens("padding")``."""

    recipe: ClassVar[Recipe] = RECIPES["t2i_lens"]

    @property
    def from_nothing(self) -> bool:
        """Its own run is of the empty prompt."""
        return True

    @property
    def beside(self) -> Treatment | None:
        """The clean generation of as many steps."""
        return Generation("instruction", self.steps)

    @property
    def undone(self) -> Treatment:
        """The empty prompt's generation."""
        return Generation("empty", self.steps)


@dataclass(frozen=True)
class ColorLens(Lens):
    """The color lens, one step of the model: ``ColorLens("padding")``."""

    recipe: ClassVar[Recipe] = RECIPES["color_lens"]


Lens.sibling = ColorLens


@dataclass(frozen=True)
class Patching(Moved):
    """I2I-to-I2I patching: ``Patching("padding")``; its pictures have a source."""

    recipe: ClassVar[Recipe] = RECIPES["i2i_patch"]


@dataclass(frozen=True)
class Knockout(Treatment):
    """An edge cut in all blocks: ``Knockout("ref->text[padding]")``."""

    recipe: ClassVar[Recipe] = RECIPES["attention_knockout"]
    edge: str = "ref->text"

    @property
    def variant(self) -> str:
        """The edge."""
        return self.edge

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read an edge."""
        return cls(variant)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the text that the edge names."""
        return tuple(re.findall(r"\[(\w+)\]", self.edge))

    def forward(self, block: str | None) -> dict[str, Any]:
        """What is cut is not computed."""
        return {"cut": (self.edge,)}


@dataclass(frozen=True)
class Drop(Treatment):
    """The reference dropped after a block: ``Drop("double.1")``, or the binding block; ``none``."""

    recipe: ClassVar[Recipe] = RECIPES["drop_reference"]
    sibling: ClassVar[type[Treatment] | None] = Knockout
    after: str | None = None

    @property
    def variant(self) -> str:
        """The block, or ``binding``."""
        return self.after or "binding"

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read a block, ``none`` or ``binding``."""
        return cls(None if variant == "binding" else variant)

    @property
    def block(self) -> str | None:
        """The block that it names."""
        return self.after

    def binding(self, family: str) -> Depth | None:
        """The binding block, unless it names another."""
        return None if self.after else super().binding(family)

    def forward(self, block: str | None) -> dict[str, Any]:
        """The reference is gone after the block."""
        return {"cut": PREFIX, "ref_until": self.after or block}


@dataclass(frozen=True)
class Control(Treatment):
    """A patch of something else than the source's own tokens, which reads runs of its own."""

    sibling: ClassVar[type[Treatment] | None] = Patching
    tokens: str = "padding"

    @property
    def parts(self) -> tuple[str, ...]:
        """Its tokens."""
        return (self.tokens,)


_CONTROL: dict[str, Any] = {"moves": True, "by_property": True, "pair": True}


@dataclass(frozen=True)
class Placebo(Control):
    """A placebo patch: ``Placebo("pad", "shuffled")``; `fluxlens.study.controls` explains kinds."""

    recipe: ClassVar[Recipe] = Recipe("placebo", i2i_patch, "placebo patch", **_CONTROL)
    kind: str = "same-run"

    @property
    def variant(self) -> str:
        """``shuffled-pad``."""
        return f"{self.kind}-{self.tokens}"

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read ``shuffled-pad``."""
        kind, _, tokens = variant.rpartition("-")
        if kind not in PLACEBOS:
            raise _unread(cls, variant, f"{', '.join(PLACEBOS)}, each with -tokens after it")
        return cls(tokens, kind)


@dataclass(frozen=True)
class Steering(Control):
    """A patch of a share of the difference: ``Steering(strength=0.5)``, 1 being a whole patch."""

    recipe: ClassVar[Recipe] = Recipe("steering", i2i_patch, "steering", **_CONTROL)
    strength: float = 1.0

    @property
    def variant(self) -> str:
        """``padding-x0.5``."""
        return f"{self.tokens}-x{self.strength:g}"

    @classmethod
    def of(cls, variant: str) -> Self:
        """Read ``padding-x0.5``."""
        tokens, _, strength = variant.partition("-x")
        try:
            return cls(tokens, float(strength))
        except ValueError:
            raise _unread(cls, variant, "tokens with -xSTRENGTH after them") from None


# In the order in which a unit's pictures are made: those that read its source run come first.
TREATMENTS: Mapping[str, type[Treatment]] = {
    kind.recipe.name: kind
    for kind in (
        Edit, Lens, ColorLens, Patching, Knockout, Drop, Generation, Placebo, Steering,
    )
}  # fmt: skip


def treatment(recipe: str, variant: str) -> Treatment:
    """Read a treatment by its names: ``treatment("i2i_patch", "padding") == Patching("padding")``.

    `ValueError` for a recipe or a variant that there is not.
    """
    if recipe not in TREATMENTS:
        raise ValueError(f"no recipe {recipe!r}; recipes are {', '.join(TREATMENTS)}")
    return TREATMENTS[recipe].of(variant)
