"""The 28 judge questions of the study, as data: Appendix E of the paper, and a blind set of ours.

>>> question = load_questions()["ko_color_ref_to_text"]
>>> question.labels[0], question.counts, question.source, question.appendix
('Image 1 (reference: a solid color):', 'pass', 'quoted', 'E.2')
>>> load_questions("blind")["ko_color_ref_to_text"].text
'Is the predominant color of Image 1 about as present in Image 3 as it is in Image 2?'

A judge is named as the authors name its file of verdicts. One that answers "pass" says the question
is true; whether that makes the table's outcome (color *observed*, *destroyed*, *transferred*) or
its opposite is what ``counts`` says. Everything is read from ``questions.toml``, where each text
says whether it is quoted, derived from a quoted one, or ours.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, StringConstraints, model_validator

from fluxlens.files import checked

__all__ = [
    "Counts", "Family", "Outcome", "Question", "QuestionError", "QuestionSet", "Recipe", "Role",
    "Source", "load_kept", "load_questions", "read_questions",
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
        """Say whether a verdict makes the outcome that the table counts.

        >>> load_questions()["ko_color_ref_to_image"].outcome_of(True)  # it still shows the color
        False
        """
        return passed == (self.counts == "pass")


def load_questions(set: QuestionSet = "paper") -> Mapping[str, Question]:
    """Load the judges by name, in the data file's order, with the paper's wording or the blind one.

    >>> questions = load_questions()
    >>> len(questions), sum(question.n for question in questions.values())
    (28, 10759)
    """
    if set not in get_args(QuestionSet):
        raise QuestionError(f"the sets of questions are 'paper' and 'blind', not {set!r}")
    return _shipped("judges")[set]


def load_kept(set: QuestionSet = "paper") -> Mapping[str, Question]:
    """Load, by family, what is asked of a steered picture beside its property: is the rest there?

    >>> load_kept()["color"].outcome
    'kept'
    """
    return {question.family: question for question in _shipped("kept")[set].values()}


@cache
def _shipped(rows: Literal["judges", "kept"]) -> dict[str, dict[str, Question]]:
    text = resources.files("fluxlens.judge").joinpath("questions.toml").read_text("utf-8")
    return {name: read_questions(text, name, rows) for name in get_args(QuestionSet)}


def read_questions(
    text: str, set: QuestionSet, rows: Literal["judges", "kept"] = "judges"
) -> dict[str, Question]:
    """Parse and check a data file of questions; `QuestionError` names the row and what is wrong.

    >>> read_questions("judges = []", "paper")
    Traceback (most recent call last):
    fluxlens.judge.questions.QuestionError: questions: no [sets.paper]
    """
    try:
        file = checked(_File, tomllib.loads(text), "questions")
        if set not in file.sets:
            raise ValueError(f"questions: no [sets.{set}]")
        questions = [row.question(set, file.sets[set]) for row in getattr(file, rows)]
    except tomllib.TOMLDecodeError as error:
        raise QuestionError(f"questions: not TOML: {error}") from None
    except ValueError as error:
        raise QuestionError(str(error)) from None
    named = {question.name: question for question in questions}
    if len(named) < len(questions):
        raise QuestionError("questions: there are two judges of one name")
    return named


Words = Annotated[str, StringConstraints(pattern=r"\S")]


class _Text(BaseModel, extra="forbid"):
    """One question's words in one set."""

    source: Source
    appendix: str = ""
    counts: Counts
    labels: tuple[str, ...] = ()
    text: Words


class _Set(BaseModel, extra="forbid"):
    source: Source = "ours"
    appendix: str = ""
    system: Words
    questions: dict[str, _Text] = {}


class _Row(BaseModel, extra="forbid"):
    """One judge: what it sees, and which question it is asked in each set."""

    name: Words
    family: Family
    recipe: Recipe
    variant: str
    n: Annotated[int, Field(strict=True, gt=0)]
    outcome: Outcome
    images: Annotated[tuple[Role, ...], Field(min_length=2, max_length=4)]
    questions: dict[QuestionSet, str]
    replace: dict[str, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> _Row:
        if self.variant not in _VARIANTS[self.recipe]:
            raise ValueError(f"'variant' is one of {_VARIANTS[self.recipe]}, not {self.variant!r}")
        if len({*self.images}) < len(self.images):
            raise ValueError(f"'images' must be different roles: {self.images}")
        return self

    def question(self, set: QuestionSet, chosen: _Set) -> Question:
        key = self.questions.get(set, "")
        if key not in chosen.questions:
            raise ValueError(f"{self.name}: there is no [sets.{set}.questions.{key}]")
        words = chosen.questions[key]
        text, source, images = words.text, words.source, self.images
        labels = words.labels or tuple(f"Image {n}:" for n in range(1, len(images) + 1))
        for old, new in self.replace.items() if set == "paper" else ():
            if not any(old in part for part in (text, *labels)):
                raise ValueError(f"{self.name}: 'replace' finds no {old!r} in {key!r}")
            source = "derived" if old in text else source
            text = text.replace(old, new)
            labels = tuple(label.replace(old, new) for label in labels)
        if len(labels) != len(images):
            raise ValueError(f"{self.name}: {len(labels)} labels for {len(images)} images")
        for number, label in enumerate(labels, start=1):
            if not label.startswith(f"Image {number}"):
                raise ValueError(
                    f"{self.name}: label {number} does not begin with 'Image {number}'"
                )
        return Question(
            self.name, set, self.family, self.recipe, self.variant, self.n, self.outcome,
            words.counts, images, labels, text, chosen.system.strip(), source, words.appendix,
        )  # fmt: skip


class _File(BaseModel, extra="forbid"):
    sets: dict[QuestionSet, _Set] = {}
    judges: list[_Row] = []
    kept: list[_Row] = []
