"""The explorer: pick a task and a recipe, slide through its settings; no kernel, no network.

```python
from fluxlens import figures
sweep = fl.layer_sweep(flux, fl.t2i_lens, prompt, red, seed=0)
figures.explorer(
    [
        figures.Frame(
            task=prompt,
            recipe="T2I Lens",
            setting=block,
            pictures={"reference": red, "edit": edit, "lens": result.image},
            marked=block == flux.binding.color,
        )
        for block, result in sweep.items()
    ],
    model=flux.name,
)
```
Every picture is stored once, in a grid that says where it belongs: what a reader sees where scripts
do not run. Where they run, `explorer.js` puts the controls in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from PIL import Image

from .html import LARGEST, Html, Picture, embed, framed, img

__all__ = ["Frame", "explorer"]

BUDGET = 2_800_000  # bytes: a page should stay under 3 MB, its own text and scripts included


@dataclass(frozen=True)
class Frame:
    """One place of the sliders: ``Frame(prompt, "T2I Lens", "double.1", {"reference": red, …})``.

    `setting` is where the recipe's slider stands: a block, a cutoff or a cut. `pictures` stand side
    by side, each under its name; `marked` says that the setting is the model's binding block.
    """

    task: str
    recipe: str
    setting: str
    pictures: Mapping[str, Image.Image]
    marked: bool = False


def explorer(
    frames: Iterable[Frame],
    model: str,
    over: Mapping[str, str] | None = None,
    caption: str = "",
    *,
    side: int = LARGEST,
    quality: int = 85,
    budget: int = BUDGET,
) -> Html:
    """Pictures chosen by task, recipe and a slider: ``explorer(frames, model=flux.name)``.

    `over` names what a recipe's slider moves through, ``{"attention knockout": "cut"}``; it is
    "block" for the others. Tasks, recipes and settings come in the order of `frames`; each
    recipe starts at its marked setting. Pictures are stored as WebP of `quality`, at most `side`
    pixels long. `ValueError` where the whole is larger than `budget` bytes.
    """
    chosen, over = list(frames), over or {}
    _check(chosen, over)
    stored, places = _stored(chosen, side, quality)
    words = _words(chosen, places, over)
    table = {
        "model": model,
        "frames": [
            {
                "task": frame.task,
                "recipe": frame.recipe,
                "over": over.get(frame.recipe, "block"),
                "setting": frame.setting,
                "marked": frame.marked,
                "pictures": list(zip(frame.pictures, place, strict=True)),
            }
            for frame, place in zip(chosen, places, strict=True)
        ],
    }
    cells = [
        f"<div>{img(picture, said)}{escape(said)}</div>"
        for picture, said in zip(stored, words, strict=True)
    ]
    body = (
        '<div class="fluxlens-explorer mathjax_ignore tex2jax_ignore">'
        f"<style>{_asset('css')}</style>"
        f'<div class="fluxlens-grid fluxlens-all">{"".join(cells)}</div>'
        f'<script type="application/json">{_json(table)}</script>'
        f"<script>{_asset('js')}</script></div>"
    )
    made = framed(body, caption, _summary(chosen, model, over, len(stored)))
    size = len(made.html.encode())
    if size > budget:
        raise ValueError(
            f"this explorer is {size / 1e6:.2f} MB, more than its budget of {budget / 1e6:.2f} MB: "
            f"{len(stored)} pictures of at most {side} pixels at quality {quality}. Show fewer "
            "tasks or settings, or pass a smaller side=… or quality=…"
        )
    return made


def _check(frames: Sequence[Frame], over: Mapping[str, str]) -> None:
    if not frames:
        raise ValueError("an explorer needs at least one frame")
    seen = set()
    for frame in frames:
        place = frame.task, frame.recipe, frame.setting
        if place in seen:
            raise ValueError(f"two frames for {', '.join(map(repr, place))}: each may have one")
        seen.add(place)
        if not frame.pictures:
            raise ValueError(f"the frame {', '.join(map(repr, place))} has no pictures")
    recipes = dict.fromkeys(frame.recipe for frame in frames)
    if unknown := [name for name in over if name not in recipes]:
        raise ValueError(f"over names {unknown[0]!r}; recipes are {', '.join(map(repr, recipes))}")


def _stored(
    frames: Sequence[Frame], side: int, quality: int
) -> tuple[list[Picture], list[list[int]]]:
    """Every different picture once, and which of them each frame shows."""
    by_pixels: dict[tuple[tuple[int, int], bytes], int] = {}
    stored: dict[Picture, int] = {}
    places = []
    for frame in frames:
        place = []
        for image in frame.pictures.values():
            rgb = image.convert("RGB")
            key = rgb.size, rgb.tobytes()
            if key not in by_pixels:
                by_pixels[key] = stored.setdefault(embed(rgb, side, quality), len(stored))
            place.append(by_pixels[key])
        places.append(place)
    return list(stored), places


def _words(
    frames: Sequence[Frame], places: Sequence[Sequence[int]], over: Mapping[str, str]
) -> list[str]:
    """What each stored picture is, in as few words as tell all its places."""
    settings: dict[str, dict[str, list[str]]] = {}  # task → recipe → settings
    uses: dict[int, dict[tuple[str, str], dict[str, list[str]]]] = {}
    for frame, place in zip(frames, places, strict=True):
        settings.setdefault(frame.task, {}).setdefault(frame.recipe, []).append(frame.setting)
        for name, n in zip(frame.pictures, place, strict=True):
            recipes = uses.setdefault(n, {}).setdefault((frame.task, name), {})
            recipes.setdefault(frame.recipe, []).append(frame.setting)
    out = []
    for n in range(len(uses)):
        said = []
        for (task, name), recipes in uses[n].items():
            where = [
                recipe
                if found == settings[task][recipe]
                else f"{recipe}, {over.get(recipe, 'block')} {', '.join(found)}"
                for recipe, found in recipes.items()
            ]
            everywhere = recipes == settings[task]
            said.append(f"{name}: {task}" + ("" if everywhere else f"; {'; '.join(where)}"))
        out.append(". ".join(said))
    return out


def _summary(frames: Sequence[Frame], model: str, over: Mapping[str, str], pictures: int) -> str:
    groups: dict[tuple[str, str], list[Frame]] = {}
    for frame in frames:
        groups.setdefault((frame.task, frame.recipe), []).append(frame)
    lines = [f"explorer of {model}: {len(frames)} settings, {pictures} different pictures"]
    for (task, recipe), members in groups.items():
        names = [f.setting + (" (binding block)" if f.marked else "") for f in members]
        lines.append(f"{task}; {recipe}, {over.get(recipe, 'block')}: {', '.join(names)}")
    return "\n".join(lines)


def _json(table: object) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def _asset(kind: str) -> str:
    return Path(__file__).with_suffix(f".{kind}").read_text(encoding="utf-8").strip()
