"""The oracle: it reads what was drawn, clean or a little spoilt, and says when there is nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fluxlens import oracle
from fluxlens.mini.cast import TEST_PEOPLE
from fluxlens.mini.drawings import Figure, FreeScene, Portrait, SceneView, Solid, StillLife
from fluxlens.mini.people import ATTRIBUTES, neighbours
from fluxlens.mini.scenes import Scene
from fluxlens.mini.world import COLORS, NO_FREE, prompts, random_generation
from tools import reading_accuracy as accuracy

BEACH = Scene("beach", "dusk", 3, 0)
SEED = 91_000  # of these tests alone


@pytest.mark.slow
def test_accuracy_on_spoilt_renders():
    rows = accuracy.measure(n=4, seed=SEED, ways=("all",))
    assert len(rows) > 20
    for row in rows:
        assert row["all"] >= 0.5, row  # of as few as two pictures


def test_published_table():
    """The table beside the oracle covers every factor and says that each is read well."""
    table = json.loads(accuracy.TABLE.read_text())
    assert table["seed"] == accuracy.SEED != SEED
    assert table["n"] >= 100
    names = {row["name"] for row in table["rows"]}
    assert {"object", "color", "manner", "subject", "setting", "light", "palette", "layout",
            "prop", "slot", "no prop"} <= names  # fmt: skip
    assert {f"person: {name}" for name in ATTRIBUTES} <= names
    for row in table["rows"]:
        assert row["clean"] >= 0.98, row
        assert set(accuracy.SPOILT) <= set(row)


@pytest.mark.parametrize("level", [-2.0, 0.0, 2.0])
def test_an_empty_studio_holds_nothing(level):
    studio = SceneView(None).draw([level] * 8)
    assert oracle.read_object(studio) is None
    assert oracle.read_color(studio) is None
    assert oracle.read_rgb(studio, "mug") is None
    assert oracle.read_figure(studio) is None
    assert oracle.read_person(studio) is None
    assert oracle.read_prop(studio) == oracle.PropReading(None, None)


@pytest.mark.parametrize(
    "picture",
    [
        Solid((220, 40, 40)).draw(NO_FREE),
        Solid((128, 128, 128)).draw(NO_FREE),
        np.random.default_rng(SEED).integers(0, 256, (96, 96, 3)).astype(np.uint8),
        np.random.default_rng(SEED).normal(0.5, 0.05, (96, 96, 3)).clip(0, 1),
    ],
    ids=["red", "gray", "noise", "gray noise"],
)
def test_what_is_no_drawing_reads_as_nothing(picture):
    for read in (oracle.read_object, oracle.read_figure, oracle.read_person, oracle.read_scene,
                 oracle.read_prop, oracle.read_portrait):  # fmt: skip
        assert read(picture) is None, read
    assert not any(oracle.scene_kept(picture, BEACH).values())
    assert not any(oracle.attributes_kept(picture, TEST_PEOPLE["01"]).values())


def test_colors_are_named_or_not():
    assert oracle.read_color(StillLife("couch", COLORS["brown"]).draw(NO_FREE)) == "brown"
    assert oracle.read_color(StillLife("couch", (20, 240, 240)).draw(NO_FREE)) is None
    cyan = oracle.read_rgb(StillLife("couch", (20, 240, 240)).draw(NO_FREE))
    assert cyan == pytest.approx((20, 240, 240), abs=4)


@pytest.mark.parametrize("subject", ["fox", "solarmax", "doll"])
@pytest.mark.parametrize("phrase", [None, "playing in snow", "having tea"])
def test_twins_in_two_manners(subject, phrase):
    for manner in ("photo", "illustrated"):
        seen = oracle.read_figure(Figure(subject, manner, phrase).draw(NO_FREE))
        assert (seen.subject, seen.manner) == (subject, manner)
        assert phrase is None or seen.does(phrase)
        assert not seen.does("fishing")


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        (Scene("beach", "dusk", 3, 1), {"layout", "all"}),
        (Scene("beach", "dusk", 3, 3), {"layout", "all"}),
        (Scene("beach", "dusk", 4, 0), {"palette", "all"}),
        (Scene("beach", "noon", 3, 0), {"light", "kind", "all"}),
        (Scene("desert", "dusk", 3, 0), {"setting", "kind", "all"}),
    ],
)
def test_a_scene_that_changed_is_not_kept(change, lost):
    assert all(oracle.scene_kept(SceneView(BEACH, "drum", 1).draw(NO_FREE), BEACH).values())
    kept = oracle.scene_kept(SceneView(change).draw(NO_FREE), BEACH)
    assert {name for name, value in kept.items() if not value} == lost


@pytest.mark.parametrize("scene", [BEACH, None])
@pytest.mark.parametrize("known", [False, True])
def test_props(scene, known):
    given = scene if known else None
    full = SceneView(scene, "gift box", 2).draw(NO_FREE)
    assert oracle.read_prop(full, given) == oracle.PropReading("gift box", 2)
    empty = SceneView(scene).draw(NO_FREE)
    assert oracle.read_prop(empty, given) == oracle.PropReading(None, None)


def test_a_ghost_is_not_gone():
    empty = np.asarray(SceneView(BEACH).draw(NO_FREE), np.float32)
    full = np.asarray(SceneView(BEACH, "suitcase", 0).draw(NO_FREE), np.float32)
    for strength, gone in ((0.0, True), (0.1, True), (0.6, False), (1.0, False)):
        picture = (empty + strength * (full - empty)).astype(np.uint8)
        assert oracle.prop_gone(picture, BEACH, "suitcase", 0) == gone, strength
    assert not oracle.prop_gone(SceneView(BEACH, "drum", 2).draw(NO_FREE), BEACH, "suitcase", 0)
    with pytest.raises(ValueError, match="no 'boat'"):
        oracle.prop_gone(full.astype(np.uint8), BEACH, "boat", 0)


def test_a_person_swapped_is_not_kept():
    picture = Portrait(TEST_PEOPLE["01"], "harbor").draw(NO_FREE)
    assert all(oracle.attributes_kept(picture, TEST_PEOPLE["01"]).values())
    kept = oracle.attributes_kept(picture, TEST_PEOPLE["19"])
    assert sum(kept.values()) <= 4
    person, scene = oracle.read_portrait(picture)
    assert person == TEST_PEOPLE["01"]
    assert (scene.setting, scene.light) == ("harbor", "dusk")


@pytest.mark.parametrize("name", ["face", "eyewear", "facial_hair", "headwear", "hair", "kind"])
def test_a_neighbour_differs_in_one_attribute(name):
    person = replace(TEST_PEOPLE["18"], facial_hair="none")
    other = next(o for n, o in neighbours(person) if n == name)
    kept = oracle.attributes_kept(Portrait(other).draw(NO_FREE), person)
    assert [n for n, value in kept.items() if not value] == [name]


def test_prompts_are_understood():
    """Every text-to-image prompt names something; instructions and the empty prompt do not."""
    for prompt in prompts():
        instruction = not prompt or prompt.startswith(("draw", "add", "remove", "the "))
        instruction |= "in this image" in prompt
        assert bool(oracle.named(prompt)) != instruction, prompt


def test_what_prompts_name_is_shown():
    rng = np.random.default_rng(SEED)
    seen = 0
    while seen < 12:
        generation = random_generation(rng)
        free = rng.normal(size=8).tolist()
        if not oracle.named(generation.prompt):
            continue
        seen += 1
        shown = oracle.shown(generation.result.draw(free), generation.prompt)
        assert shown == dict.fromkeys(oracle.named(generation.prompt), True), generation.prompt
    wrong = oracle.shown(
        FreeScene("beach", "noon", "drum").draw(NO_FREE), "a tent and a beach at night"
    )
    assert wrong == {"prop": False, "setting": True, "light": False}
    assert oracle.shown(Image.new("RGB", (96, 96)), "a red mug") == {
        "color": False,
        "object": False,
    }


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (Image.new("RGB", (95, 96)), "96x96"),
        (Image.new("L", (96, 96)), "96x96"),
        (Image.new("RGBA", (96, 96)), "96x96"),
        (np.zeros((96, 96, 3), np.int64), "uint8"),
        (np.full((96, 96, 3), 2.0), "between 0 and 1"),
        (np.full((96, 96, 3), np.nan), "between 0 and 1"),
    ],
)
def test_pictures_of_the_wrong_sort(picture, message):
    with pytest.raises(ValueError, match=message):
        oracle.read_object(picture)


def test_unknown_names():
    picture = Image.new("RGB", (96, 96))
    with pytest.raises(ValueError, match="objects are"):
        oracle.read_color(picture, "boat")
    with pytest.raises(ValueError, match="no such scene"):
        oracle.scene_kept(picture, Scene("moon", "noon", 0, 0))
    with pytest.raises(ValueError, match="no such scene"):
        oracle.read_prop(picture, Scene("beach", "noon", 0, 9))
