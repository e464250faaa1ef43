"""The widgets of the live panel; every decision of substance is in `session` and `pictures`.

```python
panel = Panel(editor)
panel.recipe.value, panel.place.value = "attention knockout", "double.*"
panel.button.click()
panel.answer.pictures["result"]
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from PIL import Image

from fluxlens.figures import grid
from fluxlens.html import img
from fluxlens.lab import pictures
from fluxlens.lab.session import RECIPES, Answer, Request, Session, default_place, offered, places
from fluxlens.mini.world import FAMILIES
from fluxlens.optional import optional
from fluxlens.recipes import TOKENS

with optional("lab", "live panels"):
    import ipywidgets as widgets

if TYPE_CHECKING:
    from fluxlens.editor import Editor

CUTS = (
    "ref->text", "ref->text[padding]", "ref->text[content]", "ref->text[template]",
    "ref->text[pad]", "ref->image", "text->image", "image->text", "text->ref", "image->ref",
)  # fmt: skip
WORDS = {"description_width": "6rem"}
WIDE = {"layout": {"width": "auto"}, "style": WORDS}


def _visible(widget: Any, visible: bool) -> None:
    widget.layout.display = None if visible else "none"


class Picker:
    """A reference that is a color, a drawing or a file; calls `changed` when it is another."""

    def __init__(self, title: str, side: int, color: str, changed: Callable[[], None]) -> None:
        self.side, self.changed = side, changed
        self.image: Image.Image | None = None
        self.prompt: str | None = None  # the instruction of a drawing
        self.kind = widgets.ToggleButtons(
            options=["color", "drawing", "file"],
            description=title,
            style={**WORDS, "button_width": "5rem"},
        )
        self.color = widgets.ColorPicker(value=color, description="color", **WIDE)
        self.family = widgets.Dropdown(options=FAMILIES, description="family", **WIDE)
        self.number = widgets.BoundedIntText(0, max=2**31 - 1, description="drawing", **WIDE)
        self.another = widgets.Button(description="another", icon="refresh")
        self.file = widgets.FileUpload(accept="image/*", description="choose a file")
        self.preview = widgets.HTML(layout={"margin": "0 0 0 6.5rem"})
        self.rows = {
            "color": self.color,
            "drawing": widgets.VBox([self.family, widgets.HBox([self.number, self.another])]),
            "file": self.file,
        }
        self.box = widgets.VBox([self.kind, *self.rows.values(), self.preview])
        self.another.on_click(self._next)
        for control in (self.kind, self.color, self.family, self.number, self.file):
            control.observe(self._pick, "value")
        self._show()

    def _next(self, _: Any) -> None:
        self.number.value += 1

    def _pick(self, _: Any) -> None:
        self._show()
        self.changed()

    def _show(self) -> None:
        kind = self.kind.value
        for name, row in self.rows.items():
            _visible(row, name == kind)
        self.image = self.prompt = None
        try:
            if kind == "color":
                self.image = pictures.swatch(self.color.value, self.side)
            elif kind == "drawing":
                made = pictures.drawing(self.family.value, self.number.value, self.side)
                self.image, self.prompt = made
            elif self.file.value:
                self.image = pictures.opened(bytes(self.file.value[-1]["content"]), self.side)
        except ValueError as error:
            self.preview.value = _said(str(error), alert=True)
            return
        words = f"the {self.kind.description}: a {kind}"
        self.preview.value = img(self.image, words, "width:6rem;height:auto") if self.image else ""


def _said(words: str, alert: bool = False) -> str:
    return f'<p role="{"alert" if alert else "status"}">{"⚠ " * alert}{escape(words)}</p>'


class Panel:
    """Controls on one side, pictures on the other; made by `fluxlens.lab.explore`.

    `answer` is what was made last, None where it was refused: then `output` says why.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor, self.session = editor, Session(editor)
        self.answer: Answer | None = None
        self._asked: Request | None = None
        self._held = False
        side = editor.default_size
        self.reference = Picker("reference", side, "#dc2828", self._drawn)
        self.source = Picker("source", side, "#285adc", self._changed)
        self.prompt = widgets.Text(
            "draw a mug in this color", description="prompt", continuous_update=False, **WIDE
        )
        self.recipe = widgets.Dropdown(options=offered(editor), description="recipe", **WIDE)
        self.place = widgets.SelectionSlider(
            options=editor.blocks, continuous_update=False, description="block", **WIDE
        )
        self.tokens = widgets.Dropdown(options=TOKENS, description="tokens", **WIDE)
        self.cut = widgets.Combobox(
            value="ref->text", options=CUTS, description="cut", continuous_update=False, **WIDE
        )
        self.seed = widgets.BoundedIntText(0, max=2**31 - 1, description="seed", **WIDE)
        self.button = widgets.Button(description="run", icon="play", button_style="primary")
        self.live = widgets.Checkbox(value=False, description="run on every change", indent=False)
        self.output = widgets.HTML(_said("nothing has been run yet"))
        self.box = self._laid_out()
        self.button.on_click(lambda _: self.run())
        self.recipe.observe(lambda _: self._set_recipe(), "value")
        for control in (self.prompt, self.place, self.tokens, self.cut, self.seed, self.live):
            control.observe(lambda _: self._changed(), "value")
        self._set_recipe()

    def _laid_out(self) -> Any:
        controls = widgets.VBox(
            [
                self.reference.box,
                self.prompt,
                self.recipe,
                self.place,
                self.tokens,
                self.cut,
                self.source.box,
                self.seed,
                widgets.HBox([self.button, self.live]),
            ],
            layout={"flex": "1 1 20rem", "max_width": "30rem"},
        )
        self.output.layout = {"flex": "2 1 20rem", "margin": "0 1rem"}
        return widgets.HBox([controls, self.output], layout={"flex_flow": "row wrap"})

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)

    @contextmanager
    def _hold(self) -> Iterator[None]:
        """Several controls are set at once: what is half set is not run."""
        self._held, before = True, self._held
        try:
            yield
        finally:
            self._held = before

    def _set_recipe(self) -> None:
        """Offer what the chosen recipe reads, its slider where the recipe has it by default."""
        name, recipe = self.recipe.value, RECIPES[self.recipe.value]
        bound = [(self.editor.binding.style, " ▲ style"), (self.editor.binding.color, " ▲ color")]
        with self._hold():
            self.place.options = [
                (place + "".join(mark for block, mark in bound if block == place), place)
                for place in places(self.editor, name)
            ]
            self.place.value = default_place(self.editor, name)
            self.place.description = recipe.sweeps
        _visible(self.tokens, recipe.moves)
        _visible(self.cut, recipe.cuts)
        _visible(self.source.box, recipe.pair)
        self._changed()

    def _drawn(self) -> None:
        """A drawing brings the instruction that goes with it."""
        with self._hold():
            self.prompt.value = self.reference.prompt or self.prompt.value
        self._changed()

    def _changed(self) -> None:
        if self.live.value and not self._held and self._request() != self._asked:
            self.run()

    def _request(self) -> Request | None:
        if self.reference.image is None:
            return None
        return Request(
            self.prompt.value,
            self.reference.image,
            self.recipe.value,
            self.place.value,
            self.tokens.value,
            self.cut.value,
            self.seed.value,
            self.source.image if RECIPES[self.recipe.value].pair else None,
        )

    def run(self) -> None:
        """Run what the controls say; what goes wrong is said in the panel."""
        self.answer, self._asked = None, self._request()
        if self._asked is None:
            self.output.value = _said("choose a reference first", alert=True)
            return
        self.button.disabled, self.button.description = True, "running …"
        try:
            self.answer = self.session.run(self._asked)
            self.output.value = self._page(self._asked, self.answer)
        except (
            Exception
        ) as error:  # the last one who can tell the reader: a widget hides tracebacks
            self.output.value = _said(str(error) or type(error).__name__, alert=True)
        finally:
            self.button.disabled, self.button.description = False, "run"

    def _page(self, request: Request, answer: Answer) -> str:
        caption = (
            f"{self.editor.name} · {request.prompt} · {request.recipe} · {self.place.description} "
            f"{request.place} · seed {request.seed} · {answer.seconds:.2f} s"
        )
        names = list(answer.pictures)
        shown = grid({"": list(answer.pictures.values())}, names, caption=caption, scale=2).html
        warned = "".join(_said(words, alert=True) for words in answer.warnings)
        centred = f'<div role="status" style="text-align:center">{shown}</div>'
        return f"{centred}{warned}<code>{escape(answer.call)}</code>"
