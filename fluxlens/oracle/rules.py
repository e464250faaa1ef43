"""What "yes" means to the oracle: a rule for each question, in the terms of the question's text.

>>> images = {"reference": red, "t2i": Look(undyed), "lens": Look(dyed)}  # Looks by role
>>> rule_of(load_questions()["i2i_unc_color_text_lens"])(images, load_thresholds())
Answer(passed=True, reason="Image 2: mug, 227 levels from Image 1's color; Image 3: mug, 1 ...")

A rule sees the pictures alone, neither the task nor how they were made. Where it draws a line, the
threshold is a calibrated one (:mod:`fluxlens.oracle.thresholds`). `CannotTell` where the pictures
do not hold the answer; the paper's system prompt makes that a 0 (Appendix E).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fluxlens.judge import Question, Role
from fluxlens.mini.people import ATTRIBUTES, Person
from fluxlens.mini.world import UNDYED
from fluxlens.oracle.features import Look, Place, Rgb, far
from fluxlens.oracle.thresholds import Thresholds

__all__ = ["Answer", "CannotTell", "Rule", "rule_of"]

HEAD = ("skin", "face", "hair", "hair_color", "eyewear", "facial_hair")


class Answer(NamedTuple):
    """Yes or no, and what was read."""

    passed: bool
    reason: str


class CannotTell(Exception):
    """The pictures do not hold the answer; says what could not be read."""


Looks = Mapping[Role, Look]
Rule = Callable[[Looks, Thresholds], Answer]

# ---- color --------------------------------------------------------------------------------------


def _color(look: Look, rgb: Rgb, t: Thresholds) -> str:
    """How a picture stands to the reference's color."""
    if (thing := look.thing(t)) is not None:
        return f"{thing.object}, {far(thing.rgb, rgb):.0f} levels from Image 1's color"
    return f"no object, {look.area(rgb):.0%} of it in Image 1's color"


def _shown(after: Role, test: Callable[[bool, bool], bool], before: Role | None = None) -> Rule:
    """A rule on whether a picture shows the reference's color: (before, after) → yes or no."""

    def rule(looks: Looks, t: Thresholds) -> Answer:
        rgb, roles = looks["reference"].mean, [role for role in (before, after) if role]
        said = (
            f"Image {n}: {_color(looks[r], rgb, t)}" for n, r in enumerate(roles, 4 - len(roles))
        )
        shows = [looks[role].shows(rgb, t) for role in roles]
        return Answer(test(shows[0], shows[-1]), "; ".join(said))

    return rule


def _nearer_color(looks: Looks, t: Thresholds) -> tuple[float, float, float, str]:
    """How far Image 4 is from Image 1's color, Image 2's and from no dye at all."""
    one, two = looks["source_reference"].mean, looks["target_reference"].mean
    patched = looks["patched"]
    if (thing := patched.thing(t)) is None:
        raise CannotTell(
            f"no object in Image 4, of which {patched.area(one):.0%} are in Image 1's color "
            f"and {patched.area(two):.0%} in Image 2's"
        )
    a, b, bare = far(thing.rgb, one), far(thing.rgb, two), far(thing.rgb, UNDYED)
    reason = f"Image 4: {thing.object}, {a:.0f} levels from Image 1, {b:.0f} from Image 2"
    return a, b, bare, f"{reason}, {bare:.0f} from undyed"


def _took_color(looks: Looks, t: Thresholds) -> Answer:
    """An undyed thing may be nearer to Image 1 than to Image 2 and has not taken on its color."""
    a, b, bare, reason = _nearer_color(looks, t)
    return Answer(a < min(b, bare), reason)


def _closer_color(looks: Looks, t: Thresholds) -> Answer:
    a, b, _, reason = _nearer_color(looks, t)
    return Answer(a < b, reason)


# ---- style ---------------------------------------------------------------------------------------


def _drawn(look: Look, name: str, t: Thresholds) -> float:
    if look.figure_error > t.figure_error:
        raise CannotTell(
            f"no figure or place in {name}, nearest {look.figure.subject}, "
            f"{look.figure_error:.0f} levels off"
        )
    return look.drawn


def _style(looks: Looks, before: Role, after: Role, t: Thresholds) -> tuple[float, float, str]:
    names = ("Image 3", "Image 4") if before == "target_baseline" else ("Image 2", "Image 3")
    one, two = (_drawn(looks[r], n, t) for r, n in zip((before, after), names, strict=True))
    said = (f"{n}: {100 * v:.0f} % drawn" for n, v in zip(names, (one, two), strict=True))
    return one, two, "; ".join(said)


def _styles(before: Role, after: Role, test: Callable[[float, float, Thresholds], bool]) -> Rule:
    """A rule on how far two pictures are drawn: (before, after) → yes or no."""

    def rule(looks: Looks, t: Thresholds) -> Answer:
        one, two, reason = _style(looks, before, after, t)
        return Answer(test(one, two, t), reason)

    return rule


def _more_drawn(before: Role, after: Role) -> Rule:
    return _styles(before, after, lambda one, two, t: two - one >= t.more_drawn)


def _kept_style(looks: Looks, t: Thresholds) -> Answer:
    drawn = _drawn(looks["knockout"], "Image 3", t)
    return Answer(drawn >= t.drawn, f"Image 3: {100 * drawn:.0f} % drawn")


# ---- people --------------------------------------------------------------------------------------


def _known(look: Look, number: int, t: Thresholds) -> Person:
    if (match := look.somebody(t)) is None:
        raise CannotTell(_nobody(look, number))
    return match.person


def _nobody(look: Look, number: int) -> str:
    kind, error = look.person.person.kind, look.person.loss**0.5
    return f"nobody in Image {number}, nearest a {kind}, {error:.0f} levels off"


def _recognized(looks: Looks, after: Role, t: Thresholds) -> Answer:
    """Whether Image 3 shows the person of Image 1; a picture with nobody in it does not."""
    one, match = _known(looks["reference"], 1, t), looks[after].somebody(t)
    if match is None:
        return Answer(False, _nobody(looks[after], 3))
    other = [name for name in HEAD if getattr(one, name) != getattr(match.person, name)]
    same = len(HEAD) - len(other) >= t.same_head
    words = ", ".join(name.replace("_", " ") for name in other) or "nothing"
    return Answer(same, f"the heads in Images 1 and 3 differ in {words}")


def _same_person(after: Role, yes: bool) -> Rule:
    def rule(looks: Looks, t: Thresholds) -> Answer:
        same, reason = _recognized(looks, after, t)
        return Answer(same == yes, reason)

    return rule


def _shares(looks: Looks, t: Thresholds) -> tuple[int, int, int, str]:
    """Of the attributes in which A and B differ: how many Image 4 has of A, of B, and all."""
    a, b = _known(looks["source_reference"], 1, t), _known(looks["target_reference"], 2, t)
    seen = _known(looks["patched"], 4, t)
    names = [name for name in ATTRIBUTES if getattr(a, name) != getattr(b, name)]
    of_a, of_b = (sum(getattr(seen, n) == getattr(p, n) for n in names) for p in (a, b))
    reason = f"Image 4 has {of_a} of {len(names)} attributes as Image 1, {of_b} as Image 2"
    return of_a, of_b, len(names), reason


def _took_person(looks: Looks, t: Thresholds) -> Answer:
    """A stranger may have more of A than of B by chance, and is not A for that."""
    of_a, of_b, names, reason = _shares(looks, t)
    return Answer(of_a > of_b and of_a >= t.took_person * names, reason)


def _closer_person(looks: Looks, t: Thresholds) -> Answer:
    of_a, of_b, _, reason = _shares(looks, t)
    return Answer(of_a > of_b, reason)


# ---- scenes --------------------------------------------------------------------------------------

# How surprising it is, in bits, that two places share a factor by chance: 14 settings, 4 lights, 8
# palettes, 6 layouts.
BITS = {"setting": 3.8, "light": 2.0, "palette": 3.0, "layout": 2.6}


def _shared(one: Place, other: Place) -> set[str]:
    return {n for n in BITS if getattr(one.scene, n) == getattr(other.scene, n)}


def _lens_scene(looks: Looks, t: Thresholds) -> Answer:
    one, before, after = (looks[role].place for role in ("reference", "t2i", "lens"))
    if one.error > t.scene_error:
        raise CannotTell(f"no place in Image 1, nearest {one.scene.setting}, {one.error:.0f} off")
    thing, clear = one.prop(t), after.error <= t.scene_error
    prop = thing is not None and after.prop(t) == thing and before.prop(t) != thing
    new = _shared(one, after) - (_shared(one, before) if before.error <= t.scene_error else set())
    bits = sum(BITS[name] for name in new)
    passed = prop or bits >= (t.enough if clear else t.enough_unread)
    words = [name for name in BITS if name in new] + [f"the {thing}"] * prop
    unclear = "" if clear else f" (Image 3 is unclear, {after.error:.0f} levels off any place)"
    return Answer(passed, f"Images 1 and 3 alone share {', '.join(words) or 'nothing'}{unclear}")


# ---- what a steered picture keeps ----------------------------------------------------------------


def _kept_object(looks: Looks, t: Thresholds) -> Answer:
    one, two = (looks[role].thing(t) for role in ("target_baseline", "patched"))
    if one is None:
        raise CannotTell("no object in Image 1")
    seen = "no object" if two is None else two.object
    return Answer(seen == one.object, f"Image 1: {one.object}; Image 2: {seen}")


def _kept_subject(looks: Looks, t: Thresholds) -> Answer:
    """Subject, place and the thing beside it, whichever manner explains the picture best."""
    one, two = looks["target_baseline"], looks["patched"]
    if one.figure_error > t.figure_error:
        raise CannotTell(f"no figure or place in Image 1, {one.figure_error:.0f} levels off any")
    a, b = ((f.subject, f.setting, f.held) for f in (one.figure, two.figure))
    reason = f"Image 1: {a[0]} at {a[1]} with {a[2]}; Image 2: {b[0]} at {b[1]} with {b[2]}"
    if two.figure_error > t.figure_error:
        return Answer(False, f"{reason}, {two.figure_error:.0f} levels off any")
    return Answer(a == b, reason)


# ---- which rule for which question ---------------------------------------------------------------

# By family, recipe, set of questions, and whether a "pass" makes the table's outcome.
_RULES: dict[tuple[str, str, str, str], Rule] = {
    ("color", "lens", "paper", "pass"): _shown("lens", lambda a, b: b and not a, "t2i"),
    ("color", "lens", "blind", "pass"): _shown("lens", lambda a, b: b and not a, "t2i"),
    ("color", "knockout", "paper", "pass"): _shown(
        "knockout", lambda a, b: a and not b, "baseline"
    ),
    ("color", "knockout", "paper", "fail"): _shown("knockout", lambda _, b: b),
    ("color", "knockout", "blind", "fail"): _shown("knockout", lambda a, b: a == b, "baseline"),
    ("color", "patch", "paper", "pass"): _took_color,
    ("color", "patch", "blind", "pass"): _closer_color,
    ("style", "lens", "paper", "pass"): _more_drawn("t2i", "lens"),
    ("style", "lens", "blind", "pass"): _more_drawn("t2i", "lens"),
    ("style", "knockout", "paper", "pass"): _styles(
        "baseline", "knockout", lambda a, b, t: b < t.drawn and a - b >= t.more_drawn
    ),
    ("style", "knockout", "paper", "fail"): _kept_style,
    ("style", "knockout", "blind", "fail"): _styles(
        "baseline", "knockout", lambda a, b, t: abs(b - a) < t.more_drawn
    ),
    ("style", "patch", "paper", "pass"): _more_drawn("target_baseline", "patched"),
    ("style", "patch", "blind", "pass"): _more_drawn("target_baseline", "patched"),
    ("human", "lens", "paper", "fail"): _same_person("lens", yes=False),
    ("human", "lens", "blind", "pass"): _same_person("lens", yes=True),
    ("human", "knockout", "paper", "pass"): _same_person("knockout", yes=False),
    ("human", "knockout", "paper", "fail"): _same_person("knockout", yes=True),
    ("human", "knockout", "blind", "fail"): _same_person("knockout", yes=True),
    ("human", "patch", "paper", "pass"): _took_person,
    ("human", "patch", "blind", "pass"): _closer_person,
    ("add", "lens", "paper", "pass"): _lens_scene,
    ("add", "lens", "blind", "pass"): _lens_scene,
    ("remove", "lens", "paper", "pass"): _lens_scene,
    ("remove", "lens", "blind", "pass"): _lens_scene,
}


def rule_of(question: Question) -> Rule:
    """The rule of one of the study's questions, in either set."""
    if question.outcome == "kept":
        return {"color": _kept_object, "style": _kept_subject}[question.family]
    return _RULES[question.family, question.recipe, question.set, question.counts]
