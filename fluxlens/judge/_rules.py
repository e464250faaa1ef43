"""What "yes" means to the oracle: a rule for each question, in the terms of the question's text.

>>> images = {"reference": red, "t2i": Look(undyed), "lens": Look(dyed)}  # Looks by role
>>> rule_of(load_questions()["i2i_unc_color_text_lens"])(images)
Answer(passed=True, reason="Image 3: mug, 9 levels from Image 1's color; ...")

A rule sees the pictures alone, neither the task nor how they were made. `CannotTell` where the
pictures do not hold the answer; the paper's system prompt makes that a 0 (Appendix E).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from fluxlens.judge._looks import Look, Place, Rgb, far
from fluxlens.judge.questions import Question, Role
from fluxlens.mini.people import ATTRIBUTES, Person
from fluxlens.mini.world import UNDYED

__all__ = ["Answer", "CannotTell", "Rule", "rule_of"]

MORE_DRAWN = 0.25  # how much nearer to a drawing is visibly so; photograph 0, drawing 1
HEAD = ("skin", "face", "hair", "hair_color", "eyewear", "facial_hair")
SAME_HEAD = 5  # of these attributes, for one person recognized again


class Answer(NamedTuple):
    """Yes or no, and what was read."""

    passed: bool
    reason: str


class CannotTell(Exception):
    """The pictures do not hold the answer; says what could not be read."""


Looks = Mapping[Role, Look]
Rule = Callable[[Looks], Answer]

# ---- color --------------------------------------------------------------------------------------


def _color(look: Look, rgb: Rgb) -> str:
    """How a picture stands to the reference's color."""
    if look.dye is not None:
        return f"{look.thing}, {far(look.dye, rgb):.0f} levels from Image 1's color"
    return f"no object, {look.area(rgb):.0%} of it in Image 1's color"


def _lens_color(looks: Looks) -> Answer:
    rgb, before, after = looks["reference"].mean, looks["t2i"], looks["lens"]
    reason = f"Image 2: {_color(before, rgb)}; Image 3: {_color(after, rgb)}"
    return Answer(after.shows(rgb) and not before.shows(rgb), reason)


def _lost_color(looks: Looks) -> Answer:
    rgb, before, after = looks["reference"].mean, looks["baseline"], looks["knockout"]
    reason = f"Image 2: {_color(before, rgb)}; Image 3: {_color(after, rgb)}"
    return Answer(before.shows(rgb) and not after.shows(rgb), reason)


def _kept_color(looks: Looks) -> Answer:
    rgb, after = looks["reference"].mean, looks["knockout"]
    return Answer(after.shows(rgb), f"Image 3: {_color(after, rgb)}")


def _like_color(looks: Looks) -> Answer:
    rgb, before, after = looks["reference"].mean, looks["baseline"], looks["knockout"]
    reason = f"Image 2: {_color(before, rgb)}; Image 3: {_color(after, rgb)}"
    return Answer(after.shows(rgb) == before.shows(rgb), reason)


def _nearer_color(looks: Looks) -> tuple[float, float, float, str]:
    """How far Image 4 is from Image 1's color, Image 2's and from no dye at all."""
    one, two = looks["source_reference"].mean, looks["target_reference"].mean
    dye, thing = looks["patched"].dye, looks["patched"].thing
    if dye is None:
        raise CannotTell("no object in Image 4")
    a, b, bare = far(dye, one), far(dye, two), far(dye, UNDYED)
    reason = f"Image 4: {thing}, {a:.0f} levels from Image 1, {b:.0f} from Image 2"
    return a, b, bare, f"{reason}, {bare:.0f} from undyed"


def _took_color(looks: Looks) -> Answer:
    """An undyed thing may be nearer to Image 1 than to Image 2 and has not taken on its color."""
    a, b, bare, reason = _nearer_color(looks)
    return Answer(a < min(b, bare), reason)


def _closer_color(looks: Looks) -> Answer:
    a, b, _, reason = _nearer_color(looks)
    return Answer(a < b, reason)


# ---- style ---------------------------------------------------------------------------------------


def _style(looks: Looks, before: Role, after: Role) -> tuple[float, float, str]:
    names = ("Image 3", "Image 4") if before == "target_baseline" else ("Image 2", "Image 3")
    values = (looks[before].drawn, looks[after].drawn)
    for name, value in zip(names, values, strict=True):
        if value is None:
            raise CannotTell(f"no figure or place in {name}")
    one, two = (value for value in values if value is not None)
    said = (f"{n}: {100 * v:.0f} % drawn" for n, v in zip(names, (one, two), strict=True))
    return one, two, "; ".join(said)


def _more_drawn(before: Role, after: Role) -> Rule:
    def rule(looks: Looks) -> Answer:
        one, two, reason = _style(looks, before, after)
        return Answer(two - one >= MORE_DRAWN, reason)

    return rule


def _lost_style(looks: Looks) -> Answer:
    one, two, reason = _style(looks, "baseline", "knockout")
    return Answer(two < 0.5 and one - two >= MORE_DRAWN, reason)


def _kept_style(looks: Looks) -> Answer:
    drawn = looks["knockout"].drawn
    if drawn is None:
        raise CannotTell("no figure or place in Image 3")
    return Answer(drawn >= 0.5, f"Image 3: {100 * drawn:.0f} % drawn")


def _like_style(looks: Looks) -> Answer:
    one, two, reason = _style(looks, "baseline", "knockout")
    return Answer(abs(two - one) < MORE_DRAWN, reason)


# ---- people --------------------------------------------------------------------------------------


def _known(look: Look, number: int) -> Person:
    if look.person is None:
        raise CannotTell(f"nobody in Image {number}")
    return look.person


def _recognized(looks: Looks, after: Role) -> Answer:
    """Whether Image 3 shows the person of Image 1; a picture with nobody in it does not."""
    one, seen = _known(looks["reference"], 1), looks[after].person
    if seen is None:
        return Answer(False, "nobody is to be seen in Image 3")
    other = [name for name in HEAD if getattr(one, name) != getattr(seen, name)]
    same = len(HEAD) - len(other) >= SAME_HEAD
    words = ", ".join(name.replace("_", " ") for name in other) or "nothing"
    return Answer(same, f"the heads in Images 1 and 3 differ in {words}")


def _same_person(after: Role, yes: bool) -> Rule:
    def rule(looks: Looks) -> Answer:
        same, reason = _recognized(looks, after)
        return Answer(same == yes, reason)

    return rule


def _shares(looks: Looks) -> tuple[int, int, int, str]:
    """Of the attributes in which A and B differ: how many Image 4 has of A, of B, and all."""
    a, b = _known(looks["source_reference"], 1), _known(looks["target_reference"], 2)
    seen = _known(looks["patched"], 4)
    names = [name for name in ATTRIBUTES if getattr(a, name) != getattr(b, name)]
    of_a, of_b = (sum(getattr(seen, n) == getattr(p, n) for n in names) for p in (a, b))
    reason = f"Image 4 has {of_a} of {len(names)} attributes as Image 1, {of_b} as Image 2"
    return of_a, of_b, len(names), reason


def _took_person(looks: Looks) -> Answer:
    """A stranger may have more of A than of B by chance, and is not A for that."""
    of_a, of_b, names, reason = _shares(looks)
    return Answer(of_a > of_b and 2 * of_a >= names, reason)


def _closer_person(looks: Looks) -> Answer:
    of_a, of_b, _, reason = _shares(looks)
    return Answer(of_a > of_b, reason)


# ---- scenes --------------------------------------------------------------------------------------

# How surprising it is, in bits, that two places share a factor by chance: 14 settings, 4 lights, 8
# palettes, 6 layouts.
BITS = {"setting": 3.8, "light": 2.0, "palette": 3.0, "layout": 2.6}
ENOUGH = 3.8  # of what Image 2 does not share too: the setting, or any two of the others
ENOUGH_UNREAD = 7.0  # where the picture is only likest to a place


def _shared(one: Place, other: Place) -> set[str]:
    return {n for n in BITS if getattr(one.scene, n) == getattr(other.scene, n)}


def _lens_scene(looks: Looks) -> Answer:
    one, before, after = (looks[role].place for role in ("reference", "t2i", "lens"))
    if not one.read:
        raise CannotTell("no place in Image 1")
    prop = one.prop is not None and after.prop == one.prop and before.prop != one.prop
    new = _shared(one, after) - (_shared(one, before) if before.read else set())
    bits = sum(BITS[name] for name in new)
    passed = prop or bits >= (ENOUGH if after.read else ENOUGH_UNREAD)
    words = [name for name in BITS if name in new] + [f"the {one.prop}"] * prop
    clear = "" if after.read else " (Image 3 is unclear)"
    return Answer(passed, f"Images 1 and 3 alone share {', '.join(words) or 'nothing'}{clear}")


# ---- which rule for which question ---------------------------------------------------------------

# By family, recipe, set of questions, and whether a "pass" makes the table's outcome.
_RULES: dict[tuple[str, str, str, str], Rule] = {
    ("color", "lens", "paper", "pass"): _lens_color,
    ("color", "lens", "blind", "pass"): _lens_color,
    ("color", "knockout", "paper", "pass"): _lost_color,
    ("color", "knockout", "paper", "fail"): _kept_color,
    ("color", "knockout", "blind", "fail"): _like_color,
    ("color", "patch", "paper", "pass"): _took_color,
    ("color", "patch", "blind", "pass"): _closer_color,
    ("style", "lens", "paper", "pass"): _more_drawn("t2i", "lens"),
    ("style", "lens", "blind", "pass"): _more_drawn("t2i", "lens"),
    ("style", "knockout", "paper", "pass"): _lost_style,
    ("style", "knockout", "paper", "fail"): _kept_style,
    ("style", "knockout", "blind", "fail"): _like_style,
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
    return _RULES[question.family, question.recipe, question.set, question.counts]
