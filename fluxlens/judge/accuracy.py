"""How often the oracle is right: on fresh renders, and on renders spoilt as bad generations are.

>>> measure(n=2, seed=5)[0]
{'name': 'object', 'n': 2, 'clean': 1.0, 'blurred': 1.0, 'recolored': 1.0, 'noised': 1.0, ...}

``python -m fluxlens.judge.accuracy [--n 200] [--processes 2] [--write]`` prints the table; with
``--write`` it also replaces ``oracle_accuracy.json``, the table that the package carries. The seed
is used for nothing else: not for training, nor for choosing any of the oracle's limits.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from fluxlens.judge import oracle
from fluxlens.judge._autoencoder import encoded
from fluxlens.judge._pixels import Picture
from fluxlens.mini import world
from fluxlens.mini.canvas import Manner
from fluxlens.mini.cast import PEOPLE_PROMPTS, random_person
from fluxlens.mini.drawings import Drawing, Figure, Portrait, SceneView, StillLife
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.scenes import LAYOUTS, LIGHTS, PALETTES, SETTINGS, SLOTS, Scene
from fluxlens.mini.subjects import PHRASES, SUBJECTS
from fluxlens.mini.world import COLORS, UNDYED
from fluxlens.optional import optional

with optional("study", "the oracle's error rates"):
    from scipy.ndimage import gaussian_filter

SEED = 20_261_122
TABLE = Path(__file__).with_name("oracle_accuracy.json")

Pixels = np.ndarray
Spoil = Callable[[Pixels, np.random.Generator], Pixels]
K = TypeVar("K")
R = TypeVar("R")

__all__ = ["SEED", "SPOILT", "TABLE", "each", "measure", "measured", "spoil"]


def _blurred(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    sigma = rng.uniform(1.0, 1.5)
    return gaussian_filter(pixels, (sigma, sigma, 0), mode="nearest")


def _recolored(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return pixels + rng.uniform(-12, 12, 3)


def _noised(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return pixels + rng.normal(0, 10, pixels.shape)


def _shifted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    while True:
        dx, dy = rng.integers(-2, 3, 2)
        if dx or dy:
            break
    padded = np.pad(pixels, ((2, 2), (2, 2), (0, 0)), mode="edge")
    return padded[2 - dy : 98 - dy, 2 - dx : 98 - dx]


def _halved(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    image = Image.fromarray(pixels.round().astype(np.uint8))
    small = image.resize((48, 48), Image.Resampling.BOX)
    return np.asarray(small.resize((96, 96), Image.Resampling.BILINEAR), np.float32)


def _all(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    for one in (_blurred, _recolored, _shifted):
        pixels = one(pixels, rng)
    return pixels + rng.normal(0, 5, pixels.shape)


def _encoded(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return encoded(pixels, rng, noise=rng.uniform(0.3, 0.6))


def _soft(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return encoded(_blurred(pixels, rng), rng, noise=rng.uniform(0.6, 0.9))


SPOILT: dict[str, Spoil] = {
    "clean": lambda pixels, rng: pixels,
    "blurred": _blurred,  # Gaussian, 1.0 to 1.5 pixels
    "recolored": _recolored,  # each channel up to 12 levels up or down
    "noised": _noised,  # sigma 10
    "shifted": _shifted,  # up to 2 pixels each way
    "halved": _halved,  # 48×48 and back
    "all": _all,  # blurred, recolored, shifted, and noise of sigma 5
    "encoded": _encoded,  # through the autoencoder, latent noise of 0.3 to 0.6 of their spread
    "soft": _soft,  # blurred, then through the autoencoder with latent noise of 0.6 to 0.9
}


def spoil(image: Image.Image, how: str, rng: np.random.Generator) -> Image.Image:
    """A picture spoilt in one of the ways named by ``SPOILT``."""
    pixels = SPOILT[how](np.asarray(image, np.float32), rng)
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8))


def _pick(rng: np.random.Generator, values: object) -> str:
    names = list(values)  # type: ignore[call-overload]
    return names[int(rng.integers(len(names)))]


def _any_scene(rng: np.random.Generator) -> Scene:
    return Scene(_pick(rng, SETTINGS), _pick(rng, LIGHTS), int(rng.integers(PALETTES)),
                 int(rng.integers(LAYOUTS)))  # fmt: skip


Outcome = Iterator[tuple[str, bool]]
Judge = Callable[[Image.Image], Outcome]


def _still_life(rng: np.random.Generator) -> tuple[Drawing, Judge]:
    color, thing = _pick(rng, [*COLORS, "undyed"]), _pick(rng, COLOR_OBJECTS)

    def judge(image: Image.Image) -> Outcome:
        picture = Picture(image)
        yield "object", oracle.read_object(picture) == thing
        yield "color", oracle.read_color(picture) == color

    return StillLife(thing, COLORS.get(color, UNDYED)), judge


def _figure(rng: np.random.Generator) -> tuple[Drawing, Judge]:
    subject = _pick(rng, SUBJECTS)
    manner: Manner = "photo" if rng.random() < 0.5 else "illustrated"
    phrase = _pick(rng, PHRASES) if rng.random() < 0.8 else None
    setting, held = PHRASES[phrase] if phrase else (None, None)

    def judge(image: Image.Image) -> Outcome:
        seen = oracle.read_figure(image)
        yield "manner", seen is not None and seen.manner == manner
        yield "subject", seen is not None and seen.subject == subject
        yield "action: setting", seen is not None and seen.setting == setting
        yield "action: thing", seen is not None and seen.held == held

    return Figure(subject, manner, phrase), judge


def _place(rng: np.random.Generator) -> tuple[Drawing, Judge]:
    scene = _any_scene(rng)
    prop = _pick(rng, PROPS) if rng.random() < 0.5 else None
    slot, removed = int(rng.integers(SLOTS)), _pick(rng, PROPS)

    def judge(image: Image.Image) -> Outcome:
        picture = Picture(image)
        seen, found = oracle.read_scene(picture), oracle.read_prop(picture)
        for name in ("setting", "light", "palette", "layout"):
            yield name, seen is not None and getattr(seen, name) == getattr(scene, name)
        if prop is None:
            yield "prop gone", oracle.prop_gone(picture, scene, removed, slot)
            yield "no prop", found is not None and found.prop is None
        else:
            yield "prop", found is not None and found.prop == prop
            yield "slot", found is not None and found.slot == slot

    return SceneView(scene, prop, slot), judge


def _person(rng: np.random.Generator) -> tuple[Drawing, Judge]:
    person = random_person(rng)
    slug = _pick(rng, PEOPLE_PROMPTS) if rng.random() < 0.8 else None

    def judge(image: Image.Image) -> Outcome:
        for name, kept in oracle.attributes_kept(image, person).items():
            yield f"person: {name}", kept

    return Portrait(person, slug), judge


READINGS: dict[str, Callable[[Image.Image], object]] = {
    "object": oracle.read_object, "subject": oracle.read_figure, "person": oracle.read_person,
    "scene": oracle.read_scene,
}  # fmt: skip


def _nothing(rng: np.random.Generator) -> tuple[Drawing, Judge]:
    """An empty place or studio, where nothing is to be seen; and noise, asked one question."""
    scene = _any_scene(rng) if rng.random() < 0.7 else None
    noise = rng.normal(rng.uniform(60, 200), rng.uniform(5, 60), (96, 96, 3))
    speckles = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    read = READINGS[_pick(rng, READINGS)]
    absent = _pick(rng, ("object", "subject", "person"))

    def judge(image: Image.Image) -> Outcome:
        yield f"no {absent}", READINGS[absent](image) is None
        yield "nothing in noise", read(speckles) is None

    return SceneView(scene), judge


FAMILIES = (_still_life, _figure, _place, _person, _nothing)


def measure(n: int = 200, seed: int = SEED, ways: tuple[str, ...] = tuple(SPOILT),
            quiet: bool = True, processes: int = 1) -> list[dict[str, object]]:  # fmt: skip
    """A row for each factor: its name, how many clean pictures, and the share read rightly when
    spoilt in each way."""
    one = partial(_measured, n=n, seed=seed, ways=ways)
    return [row for part in each(one, range(len(FAMILIES)), processes, quiet) for row in part]


def _measured(number: int, n: int, seed: int, ways: tuple[str, ...]) -> list[dict[str, object]]:
    right: dict[str, dict[str, list[bool]]] = {}
    for i in range(n):
        rng = np.random.default_rng([seed, number, i])
        drawing, judge = FAMILIES[number](rng)
        image = drawing.draw(rng.normal(size=world.FREE).tolist())
        for how in ways:
            for name, hit in judge(spoil(image, how, rng)):
                right.setdefault(name, {w: [] for w in ways})[how].append(hit)
    return [
        {"name": name, "n": len(hits[ways[0]])} | {w: float(np.mean(hits[w])) for w in ways}
        for name, hits in right.items()
    ]


def each(do: Callable[[K], R], keys: Sequence[K], processes: int, quiet: bool) -> list[R]:
    """What ``do`` makes of each key, in their order, in as many processes."""
    bar = partial(tqdm, total=len(keys), disable=quiet)
    if processes == 1:
        return list(bar(map(do, keys)))
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(bar(pool.map(do, keys)))


def measured(parser: argparse.ArgumentParser, measure: Any, table: Path, seed: int) -> list[Any]:
    """The rows that a command's words ask for: measured, written into ``table`` with ``--write``,
    printed with ``--format json``; for another format they come back to be printed."""
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--write", action="store_true", help=f"replace {table.name}")
    options = parser.parse_args()
    if min(options.n, options.processes) < 1:
        parser.error("--n and --processes must be at least 1")
    rows: list[Any] = measure(options.n, quiet=False, processes=options.processes)
    if options.write:
        out = {"seed": seed, "n": options.n, "rows": rows}
        table.write_text(json.dumps(out, indent=1) + "\n")
    if options.format == "json":
        print(json.dumps(rows))
        return []
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fluxlens.judge.accuracy", description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="pictures of each family")
    if not (rows := measured(parser, measure, TABLE, SEED)):
        return
    print(f"{'':18}{'n':>5}" + "".join(f"{way:>12}" for way in SPOILT))
    for row in rows:
        shares = "".join(f"{100 * float(str(row[way])):11.1f}%" for way in SPOILT)
        print(f"{row['name']:18}{row['n']:5}{shares}")


if __name__ == "__main__":
    main()
