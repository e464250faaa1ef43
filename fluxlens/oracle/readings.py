"""The oracle: what a picture of mini's world shows, read from its pixels alone.

>>> picture = StillLife("mug", COLORS["red"]).draw(NO_FREE)
>>> read_object(picture), read_color(picture)
('mug', 'red')

Nothing here is trained. Every reading is *the drawing that best explains the picture*: candidates
are put together from a few renders of the world (:mod:`fluxlens.oracle.pixels`), compared after a
light blur at half the size, with each pixel's error capped; whatever the world leaves free (where
a thing stands, how bright the studio is, a shift of the whole picture by up to two pixels) is
searched over. Dyes and accents are solved for by least squares and then named. Film grain plays no
part. So a picture may be blurred, a little shifted or off in color and still be read.

A judge may be told what a task fixes, such as the scene a prop was to be added to, never the answer
in question. A picture that no drawing explains reads as None; where that begins is calibrated
(:mod:`fluxlens.oracle.thresholds`), on other renders than the accuracies in
``reading_accuracy.json``.

The first reading of each kind draws its bank: some ten seconds for scenes, less for the rest.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from fluxlens.mini import settings
from fluxlens.mini.canvas import Manner
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.people import ATTRIBUTES, Person
from fluxlens.mini.scenes import Scene
from fluxlens.mini.subjects import PHRASES, SUBJECTS
from fluxlens.mini.world import COLORS, UNDYED
from fluxlens.oracle.match_figures import FigureMatch, match_figure
from fluxlens.oracle.match_objects import ObjectMatch, PropMatch, match_object, match_prop, props
from fluxlens.oracle.match_people import PersonMatch, match_person
from fluxlens.oracle.match_scenes import SceneMatch, scenes
from fluxlens.oracle.pixels import Picture, explains, loss, studio
from fluxlens.oracle.prompt_factors import named
from fluxlens.oracle.thresholds import load_thresholds

__all__ = [
    "FigureReading", "ImageLike", "PropReading", "attributes_kept", "likely_prop",
    "likely_scene", "named", "prop_gone", "read_color", "read_figure", "read_object", "read_person",
    "read_portrait", "read_prop", "read_rgb", "read_scene", "scene_kept", "shown",
]  # fmt: skip

# 96×96 RGB; arrays as uint8, or as floats between 0 and 1.
ImageLike = Image.Image | np.ndarray | Picture


def _picture(image: ImageLike) -> Picture:
    return image if isinstance(image, Picture) else Picture(image)


# ---- color ----------------------------------------------------------------------------------


def _object(image: ImageLike, object: str | None = None) -> ObjectMatch | None:
    if object is not None and object not in COLOR_OBJECTS:
        raise ValueError(f"objects are {', '.join(COLOR_OBJECTS)}, not {object!r}")
    picture = _picture(image)
    match = picture.once(("object", object), lambda: match_object(picture, object))
    t = load_thresholds()
    return match if explains(match, t.object_error, t.object_gain) else None


def read_object(image: ImageLike) -> str | None:
    """Which of the eight dyed objects stands in the studio, or None.

    >>> read_object(StillLife("car", (20, 120, 200)).draw(NO_FREE))
    'car'
    """
    match = _object(image)
    return None if match is None else match.object


def read_rgb(image: ImageLike, object: str | None = None) -> tuple[float, float, float] | None:
    """The dye itself, in levels, of the object that is there (or of the one named), or None.

    >>> [round(level) for level in read_rgb(StillLife("hat", (40, 90, 220)).draw(NO_FREE))]
    [39, 89, 220]
    """
    match = _object(image, object)
    return None if match is None else match.rgb


def read_color(image: ImageLike, object: str | None = None) -> str | None:
    """The name of the dye: one of the paper's eight, ``"undyed"``, or None when it is no such
    color or there is no object. ``object`` is what a prompt asked for, if that is not in question.

    >>> read_color(StillLife("vase", COLORS["purple"]).draw(NO_FREE), object="vase")
    'purple'
    """
    dye = read_rgb(image, object)
    if dye is None:
        return None
    names = [*COLORS, "undyed"]
    known = np.array([*COLORS.values(), UNDYED], np.float32)
    far = np.sqrt(((known - np.array(dye)) ** 2).sum(axis=1))
    return names[int(far.argmin())] if far.min() <= load_thresholds().color else None


# ---- style -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FigureReading:
    """Who stands where, beside what, and in which manner it is drawn."""

    subject: str
    kind: str
    manner: Manner
    setting: str | None  # None: the studio
    held: str | None

    def does(self, phrase: str) -> bool:
        """Whether this is how the world shows a phrase ("having tea")."""
        return (self.setting, self.held) == PHRASES[phrase]


def _figure(image: ImageLike) -> tuple[FigureReading | None, FigureMatch]:
    picture = _picture(image)
    match = picture.once("figure", lambda: match_figure(picture))
    t = load_thresholds()
    if not explains(match, t.figure_error, t.figure_gain):
        return None, match
    kind = SUBJECTS[match.subject]
    return FigureReading(match.subject, kind, match.manner, match.setting, match.held), match


def read_figure(image: ImageLike) -> FigureReading | None:
    """The subject, its manner (``"photo"`` or ``"illustrated"``), its place and the thing beside
    it; None when no subject is there.

    >>> read_figure(Figure("fox", "illustrated", "playing in snow").draw(NO_FREE))
    FigureReading(subject='fox', kind='fox', manner='illustrated', setting='snowfield', held='ball')
    """
    return _figure(image)[0]


# ---- scenes ----------------------------------------------------------------------------------


def _scene(picture: Picture) -> tuple[SceneMatch, PropMatch]:
    """The best scene and the best prop in it; each is looked for again once the other is known."""
    bank = scenes("photo")
    found = bank.match(picture)
    prop = _prop(picture, found.scene, found.template, found.shift)
    if _there(prop):
        found = bank.match(picture, prop.layer.clear[..., 0] ** 2)
        prop = _prop(picture, found.scene, found.template, found.shift)
    return found, prop


def _prop(picture: Picture, scene: Scene | None, behind: np.ndarray,
          shift: tuple[int, int]) -> PropMatch:  # fmt: skip
    high = scene is not None and settings.LAYOUTS[scene.layout][0] < 60
    return match_prop(picture.at(*shift), behind, high)


def _there(prop: PropMatch) -> bool:
    t = load_thresholds()
    return explains(prop, np.inf, t.prop_gain) and prop.empty_loss > t.prop_error**2


def read_scene(image: ImageLike) -> Scene | None:
    """The place, whether or not a prop stands in it; None when it is none of the world's.

    >>> read_scene(SceneView(Scene("beach", "dusk", 3, 0), "drum").draw(NO_FREE))
    Scene(setting='beach', light='dusk', palette=3, layout=0)
    """
    picture = _picture(image)
    found, _ = picture.once("scene", lambda: _scene(picture))
    return found.scene if found.loss <= load_thresholds().scene_error ** 2 else None


def likely_scene(image: ImageLike) -> tuple[Scene, float]:
    """The place that a picture is likest to, be it ever so unlike, and how many levels it is off:
    not a reading, but what there is to compare where there is none."""
    picture = _picture(image)
    found, _ = picture.once("scene", lambda: _scene(picture))
    return found.scene, float(np.sqrt(found.loss))


@dataclass(frozen=True)
class PropReading:
    """A prop and its slot (0 left, 1 middle, 2 right); both None where nothing stands."""

    prop: str | None
    slot: int | None


def read_prop(image: ImageLike, scene: Scene | None = None) -> PropReading | None:
    """What stands in a scene, or in the studio; None when the picture is neither.

    ``scene`` is the place that the picture ought to show (of the reference), where that is not in
    question: what remains of a prop there is then not taken for another place.

    >>> read_prop(SceneView(Scene("office", "noon", 1, 2), "guitar", 2).draw(NO_FREE))
    PropReading(prop='guitar', slot=2)
    """
    seen, error = likely_prop(image, scene)
    return seen if error <= load_thresholds().scene_error else None


def likely_prop(image: ImageLike, scene: Scene | None = None) -> tuple[PropReading, float]:
    """What seems to stand in a picture, and how many levels scene and prop together are off."""
    picture = _picture(image)
    bank, whole = scenes("photo"), np.ones((48, 48), np.float32)
    if scene is not None:
        if scene not in bank.index:
            raise ValueError(f"no such scene: {scene}")
        template = bank.template(scene)
        shift = picture.align(template, whole)
        prop = _prop(picture, scene, template, shift)
        if _there(prop):
            shift = picture.align(prop.layer.over(template), whole)
            prop = _prop(picture, scene, template, shift)
    else:
        pixels = picture.at(0, 0)
        high = np.zeros_like(whole)
        high[:20] = 1  # above every prop
        room = studio(pixels, high)
        found, prop = picture.once("scene", lambda: _scene(picture))
        if float(loss(room - pixels)) < found.loss:
            prop = _prop(picture, None, room, (0, 0))
            template, shift = room, (0, 0)
        else:
            template, shift = found.template, found.shift
    here = _there(prop)
    drawn = prop.layer.over(template) if here else template
    error = float(np.sqrt(loss(drawn - picture.at(*shift))))
    return PropReading(prop.prop, prop.slot) if here else PropReading(None, None), error


def prop_gone(image: ImageLike, scene: Scene, prop: str, slot: int) -> bool:
    """Whether a prop was removed from a scene: none is read, and the place where it stood looks as
    the scene does without it (a ghost of half its strength, or a smear, is not gone).

    >>> scene = Scene("office", "noon", 1, 2)
    >>> prop_gone(SceneView(scene).draw(NO_FREE), scene, "guitar", 2)
    True
    """
    picture = _picture(image)
    seen = read_prop(picture, scene)
    high = settings.LAYOUTS[scene.layout][0] < 60
    if (prop, slot, high) not in props():
        raise ValueError(f"no {prop!r} in slot {slot}; props are {', '.join(PROPS)}")
    where = (props()[prop, slot, high].cover > 0.25).astype(np.float32)
    template = scenes("photo").template(scene)
    pixels = picture.at(*picture.align(template, np.ones_like(where)))
    restored = float(loss(pixels - template, where)) <= load_thresholds().gone_error ** 2
    return restored and seen == PropReading(None, None)


def scene_kept(image: ImageLike, scene: Scene) -> dict[str, bool]:
    """Whether a picture still shows a reference's place, whatever else stands in it: each of the
    four factors, ``kind`` (setting and light), and ``all`` of them.

    >>> picture = SceneView(Scene("beach", "dusk", 3, 1)).draw(NO_FREE)
    >>> scene_kept(picture, Scene("beach", "dusk", 3, 0))
    {'setting': True, 'light': True, 'palette': True, 'layout': False, 'kind': True, 'all': False}
    """
    if scene not in scenes("photo").index:
        raise ValueError(f"no such scene: {scene}")
    seen = read_scene(image)
    kept = {name: seen is not None and getattr(seen, name) == getattr(scene, name)
            for name in ("setting", "light", "palette", "layout")}  # fmt: skip
    return kept | {"kind": kept["setting"] and kept["light"], "all": all(kept.values())}


# ---- people ----------------------------------------------------------------------------------


def _person(image: ImageLike) -> PersonMatch | None:
    picture = _picture(image)
    match = picture.once("person", lambda: match_person(picture))
    t = load_thresholds()
    return match if explains(match, t.person_error, t.person_gain) else None


def read_person(image: ImageLike) -> Person | None:
    """All attributes of whoever the portrait shows, in any scene or in the studio, or None.

    >>> read_person(Portrait(TEST_PEOPLE["04"], "forest").draw(NO_FREE)) == TEST_PEOPLE["04"]
    True
    """
    match = _person(image)
    return None if match is None else match.person


def read_portrait(image: ImageLike) -> tuple[Person, Scene | None] | None:
    """The person and the scene behind them (None: the studio); None when nobody is there.

    >>> person, scene = read_portrait(Portrait(TEST_PEOPLE["04"], "forest").draw(NO_FREE))
    >>> scene.setting, scene.light
    ('forest', 'morning')
    """
    match = _person(image)
    return None if match is None else (match.person, match.scene)


def attributes_kept(image: ImageLike, person: Person) -> dict[str, bool]:
    """Which attributes of a reference's person a picture shows. Nobody there keeps none.

    >>> picture = Portrait(TEST_PEOPLE["04"]).draw(NO_FREE)
    >>> [name for name, kept in attributes_kept(picture, TEST_PEOPLE["19"]).items() if kept]
    ['kind', 'face', 'facial_hair', 'pattern']
    """
    seen = read_person(image)
    return {name: seen is not None and getattr(seen, name) == getattr(person, name)
            for name in ATTRIBUTES}  # fmt: skip


# ---- text to image ---------------------------------------------------------------------------


def shown(image: ImageLike, prompt: str) -> dict[str, bool]:
    """For each thing that a text-to-image prompt names, whether the picture shows it.

    >>> shown(StillLife("mug", COLORS["red"]).draw(NO_FREE), "a red couch")
    {'color': True, 'object': False}
    """
    want = named(prompt)
    seen: dict[str, str | None] = {}
    picture = _picture(image)
    if "object" in want:
        match = _object(picture)
        if match is not None:
            seen = {"object": match.object, "color": read_color(picture, match.object)}
    elif "manner" in want:
        figure = read_figure(picture)
        seen = {} if figure is None else vars(figure)
    elif "person" in want:
        portrait = _person(picture)
        if portrait is not None:
            place = portrait.scene
            seen = {"person": portrait.person.kind}
            if place is not None:
                seen |= {"setting": place.setting, "light": place.light}
    elif want:
        scene = read_scene(picture)
        seen = {} if scene is None else {"setting": scene.setting, "light": scene.light}
        if "prop" in want:
            prop = read_prop(picture)
            seen["prop"] = None if prop is None else prop.prop
    return {name: seen.get(name) == value for name, value in want.items()}
