"""Objects, props and scenes: they draw in both manners, and can be told apart."""

from itertools import combinations, product

import numpy as np
import pytest

from fluxlens.mini.canvas import SIZE, Canvas
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS, draw_object, draw_prop
from fluxlens.mini.scenes import (
    CATEGORIES,
    LAYOUTS,
    LIGHTS,
    PALETTES,
    SETTINGS,
    SLOTS,
    Scene,
    describe,
    draw_scene,
    slot,
)

MANNERS = ("photo", "illustrated")
GRAY = (128, 128, 128)


def drawn(manner, draw, *args):
    canvas = Canvas(manner)
    canvas.backdrop(GRAY)
    draw(canvas, *args)
    image = canvas.image()
    assert image.size == (SIZE, SIZE)
    return np.asarray(image, np.float32)


def difference(a, b):
    """The share of pixels that differ clearly."""
    return (np.abs(a - b).max(axis=-1) > 40).mean()


def test_counts():
    assert len(COLOR_OBJECTS) == 8
    assert len(PROPS) == len(set(PROPS)) == 16
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 14 * 4 * 8 >= 397


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("name", COLOR_OBJECTS)
def test_objects_carry_their_color(manner, name):
    """At least 70 % of what an object covers changes with its color, and it stays inside."""
    draw = [drawn(manner, draw_object, name, 48, 86, 54, c) for c in ((230, 40, 40), (40, 60, 230))]
    empty = drawn(manner, lambda canvas: None)
    covered = np.abs(draw[0] - empty).max(axis=-1) > 55  # more than a shadow
    colored = (draw[0][..., 0] - draw[1][..., 0]) > 60
    assert colored.mean() > 0.12
    if manner == "photo":  # the other manner's outlines count as covered
        assert (colored & covered).sum() / covered.sum() > 0.7, name
    for edge in (colored[0], colored[-1], colored[:, 0], colored[:, -1]):
        assert not edge.any()
    again = drawn(manner, draw_object, name, 48, 86, 54, (230, 40, 40))
    assert np.array_equal(draw[0], again)


@pytest.mark.parametrize("manner", MANNERS)
def test_props_differ(manner):
    draw = {name: drawn(manner, draw_prop, name, 48, 88, 35) for name in PROPS}
    empty = drawn(manner, lambda canvas: None)
    for name, pixels in draw.items():
        assert difference(pixels, empty) > 0.03, name
        assert np.array_equal(pixels, drawn(manner, draw_prop, name, 48, 88, 35))
    for a, b in combinations(PROPS, 2):
        assert difference(draw[a], draw[b]) > 0.03, (a, b)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_layouts_palettes_and_lights_differ(manner, setting):
    for light in LIGHTS:
        layouts = [drawn(manner, draw_scene, Scene(setting, light, 0, k)) for k in range(LAYOUTS)]
        for a, b in combinations(layouts, 2):
            assert (np.abs(a - b).max(axis=-1) > 24).mean() > 0.06
        palettes = [drawn(manner, draw_scene, Scene(setting, light, k, 0)) for k in range(PALETTES)]
        for a, b in combinations(palettes, 2):
            assert (np.abs(a - b).max(axis=-1) > 24).mean() > 0.03
    lights = [drawn(manner, draw_scene, Scene(setting, light, 0, 0)) for light in LIGHTS]
    for a, b in combinations(lights, 2):
        assert (np.abs(a - b).max(axis=-1) > 24).mean() > 0.2
    again = drawn(manner, draw_scene, Scene(setting, LIGHTS[0], 0, 0))
    assert np.array_equal(lights[0], again)


def test_settings_differ():
    draw = {s: drawn("illustrated", draw_scene, Scene(s, "noon", 0, 0)) for s in SETTINGS}
    for a, b in combinations(SETTINGS, 2):
        assert difference(draw[a], draw[b]) > 0.2, (a, b)


def test_props_fit_every_slot():
    for layout, k, name in product(range(LAYOUTS), range(SLOTS), PROPS):
        scene = Scene("beach", "noon", 0, layout)
        pixels = drawn("illustrated", draw_prop, name, *slot(scene, k))
        changed = (pixels != GRAY).any(axis=-1)
        assert changed.any()
        for edge in (changed[:, 0], changed[:, -1], changed[0], changed[-1]):
            assert not edge.any(), (name, k)


def test_names_and_bad_input():
    phrases = {describe(Scene(s, light, 0, 0)) for s, light in product(SETTINGS, LIGHTS)}
    assert len(phrases) == 56
    assert all(len(p.split()) <= 3 for p in phrases)
    canvas = Canvas()
    for bad in (
        lambda: draw_scene(canvas, Scene("moon", "noon", 0, 0)),
        lambda: draw_scene(canvas, Scene("beach", "noonish", 0, 0)),
        lambda: draw_scene(canvas, Scene("beach", "noon", PALETTES, 0)),
        lambda: draw_scene(canvas, Scene("beach", "noon", 0, -1)),
        lambda: slot(Scene("beach", "noon", 0, 0), SLOTS),
        lambda: draw_object(canvas, "sofa", 48, 86, 54, GRAY),
        lambda: draw_prop(canvas, "couch", 48, 86, 34),
    ):
        with pytest.raises(ValueError, match=r"no |are 0\.\."):
            bad()
