"""The 28 judge questions of the study, as data: Appendix E of the paper, and a blind set of ours.

>>> question = load_questions()["ko_color_ref_to_text"]
>>> question.labels[0], question.counts, question.source, question.appendix
('Image 1 (reference: a solid color):', 'pass', 'quoted', 'E.2')
>>> load_questions("blind")["ko_color_ref_to_text"].text
'Is the predominant color of Image 1 about as present in Image 3 as it is in Image 2?'

A judge is named as the authors name its file of verdicts. One that answers "pass" says the question
is true; whether that makes the table's outcome (color *observed*, *destroyed*, *transferred*) or
its opposite is the question's polarity, ``counts``. Everything is read from ``questions.toml``,
where each text says whether it is quoted, derived from a quoted one, or ours.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

__all__ = [
    "Family", "Outcome", "Question", "QuestionError", "QuestionSet", "Recipe", "Role", "Source",
    "load_kept", "load_questions", "read_questions",
]  # fmt: skip

QuestionSet = Literal["paper", "blind"]
Source = Literal["quoted", "derived", "ours"]
Family = Literal["color", "style", "human", "add", "remove"]
Recipe = Literal["lens", "knockout", "patch"]
Outcome = Literal["observed", "destroyed", "transferred", "kept"]
Counts = Literal["pass", "fail"]
Role = Literal[
    "reference", "t2i", "lens", "baseline", "knockout",
    "source_reference", "target_reference", "target_baseline", "patched",
]  # fmt: skip

_VARIANTS: dict[str, tuple[str, ...]] = {
    "lens": ("all", "padding", "content"),
    "knockout": ("ref->text", "ref->text[padding]", "ref->text[content]", "ref->image"),
    "patch": ("all", "padding", "content"),
}


class QuestionError(ValueError):
    """The data file of questions breaks one of its own rules."""


@dataclass(frozen=True)
class Question:
    """One judge's question, with everything that is sent but the pictures (Appendix E)."""

    name: str
    set: QuestionSet
    family: Family
    recipe: Recipe
    variant: str
    n: int  # how many entities the paper judges
    outcome: Outcome  # what the table's rate is of
    counts: Counts  # which verdict makes that outcome
    images: tuple[Role, ...]
    labels: tuple[str, ...]
    text: str
    system: str
    source: Source
    appendix: str  # of the paper; "" where the text is ours alone

    @property
    def digest(self) -> str:
        """Twelve hex digits that change with any word a judge is sent.

        >>> load_questions()["i2i_unc_add"].digest == load_questions("blind")["i2i_unc_add"].digest
        False
        """
        sent = "\x1f".join([self.system, *self.labels, self.text])
        return hashlib.sha256(sent.encode()).hexdigest()[:12]

    def outcome_of(self, passed: bool) -> bool:
        """Whether a verdict makes the outcome that the table counts.

        >>> load_questions()["ko_color_ref_to_image"].outcome_of(True)  # it still shows the color
        False
        """
        return passed == (self.counts == "pass")


def load_questions(set: QuestionSet = "paper") -> Mapping[str, Question]:
    """The judges by name, in the data file's order, with the paper's wording or the blind one.

    >>> questions = load_questions()
    >>> len(questions), sum(question.n for question in questions.values())
    (28, 10759)
    """
    if set not in get_args(QuestionSet):
        raise QuestionError(f"the sets of questions are 'paper' and 'blind', not {set!r}")
    return _shipped("judges")[set]


def load_kept(set: QuestionSet = "paper") -> Mapping[str, Question]:
    """Family → what is asked of a steered picture beside its property: is the rest still there?

    >>> load_kept()["color"].outcome
    'kept'
    """
    return {question.family: question for question in _shipped("kept")[set].values()}


@cache
def _shipped(rows: str) -> dict[str, dict[str, Question]]:
    text = resources.files("fluxlens.judge").joinpath("questions.toml").read_text("utf-8")
    return {name: read_questions(text, name, rows) for name in get_args(QuestionSet)}


def read_questions(text: str, set: QuestionSet, rows: str = "judges") -> dict[str, Question]:
    """Parse and check a data file of questions; `QuestionError` names the row and what is wrong.

    >>> read_questions("judges = []", "paper")
    Traceback (most recent call last):
    fluxlens.judge.questions.QuestionError: questions: no [sets.paper]
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise QuestionError(f"questions: not TOML: {error}") from None
    try:
        chosen = data["sets"][set]
    except KeyError:
        raise QuestionError(f"questions: no [sets.{set}]") from None
    judges: dict[str, Question] = {}
    for row in data.get(rows, []):
        question = _question(row, set, chosen)
        if question.name in judges:
            raise QuestionError(f"{question.name}: there are two judges of this name")
        judges[question.name] = question
    return judges


class _Table:
    """A TOML table whose every value is asked for with its type."""

    def __init__(self, where: str, values: object) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise QuestionError(f"{where}: expected a table, found {values!r}")
        self.values: dict[str, Any] = values

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str) or (not value.strip() and value != default):
            raise QuestionError(f"{self.where}: {key!r} must be a text, not {value!r}")
        return value

    def one_of(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self.text(key)
        if value not in choices:
            raise QuestionError(f"{self.where}: {key!r} is one of {choices}, not {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise QuestionError(f"{self.where}: {key!r} must be a list of texts, not {value!r}")
        return tuple(value)

    def only(self, *keys: str) -> None:
        unknown = sorted({*self.values} - {*keys})
        if unknown:
            raise QuestionError(f"{self.where}: unknown key {', '.join(map(repr, unknown))}")


def _question(values: object, set: QuestionSet, chosen: Mapping[str, Any]) -> Question:
    row = _Table("judges", values)
    name = row.where = row.text("name")
    row.only(
        "name", "family", "recipe", "variant", "n", "outcome", "images", "questions", "replace"
    )
    recipe = row.one_of("recipe", get_args(Recipe))
    n = row.values.get("n")
    if type(n) is not int or n < 1:
        raise QuestionError(f"{name}: 'n' must be a whole number above 0, not {n!r}")
    images = row.texts("images")
    unknown = [role for role in images if role not in get_args(Role)]
    if unknown or len({*images}) != len(images) or not 2 <= len(images) <= 4:
        raise QuestionError(f"{name}: 'images' must be two to four different roles: {images}")

    key = _Table(name, row.values.get("questions")).text(set)
    if key not in chosen.get("questions", {}):
        raise QuestionError(f"{name}: there is no [sets.{set}.questions.{key}]")
    asked = _Table(f"sets.{set}.questions.{key}", chosen["questions"][key])
    asked.only("source", "appendix", "counts", "labels", "text")
    source: Source = asked.one_of("source", get_args(Source))
    text = asked.text("text")
    if "labels" in asked.values:
        labels = asked.texts("labels")
    else:
        labels = tuple(f"Image {number}:" for number in range(1, len(images) + 1))
    if len(labels) != len(images):
        raise QuestionError(f"{name}: {len(labels)} labels for {len(images)} images")
    if set == "paper":
        for old, new in _Table(name, row.values.get("replace", {})).values.items():
            if not any(old in part for part in (text, *labels)):
                raise QuestionError(f"{name}: 'replace' finds no {old!r} in {key!r}")
            if old in text:
                source = "derived"
            text = text.replace(old, new)
            labels = tuple(label.replace(old, new) for label in labels)
    for number, label in enumerate(labels, start=1):
        if not label.startswith(f"Image {number}"):
            raise QuestionError(f"{name}: label {number} does not begin with 'Image {number}'")
    return Question(
        name=name,
        set=set,
        family=row.one_of("family", get_args(Family)),
        recipe=recipe,
        variant=row.one_of("variant", _VARIANTS[recipe]),
        n=n,
        outcome=row.one_of("outcome", get_args(Outcome)),
        counts=asked.one_of("counts", get_args(Counts)),
        images=images,  # type: ignore[arg-type]  # checked above
        labels=labels,
        text=text,
        system=_Table(f"sets.{set}", chosen).text("system").strip(),
        source=source,
        appendix=asked.text("appendix", ""),
    )
