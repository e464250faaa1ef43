"""What judging a plan's pictures takes: calls, tokens and dollars, before anything is asked.

>>> bill = judging(plan, Sizes("paper", standing_in=True), load_prices().of("claude-opus-4-7"))
>>> sum(item.calls for item in bill.values())
10759

A picture's tokens follow from its size. A text has about 2.5 characters a token and an answer 52
tokens, both as in the authors' 10,759 released verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fluxlens.judge.prices import Price
from fluxlens.judge.questions import Question, load_questions
from fluxlens.results import CellPlan, load_paper
from fluxlens.study.asked import asked as asked_beyond
from fluxlens.study.pictures import Picture
from fluxlens.study.plan import Plan
from fluxlens.study.sizes import Mix, Size, Sizes, patches
from fluxlens.tasks import Family

__all__ = ["Bill", "asked", "judging"]

CHARACTERS = 2.5  # of a question, in a token
ANSWER = 52  # tokens
CACHED = 2048  # the shortest beginning, in tokens, that the authors' verdicts show was cached
# Where the targets of a family's pairs have a family of their own.
PAIRS_OF: dict[Family, Family] = {"manual": "style", "people_shared": "people"}


@dataclass(frozen=True)
class Bill:
    """Calls of a judge, their tokens, and what they cost in US dollars in each way of asking.

    ``dollars`` one by one without a cache, ``cached`` with it, ``batch`` by Message Batches.
    """

    calls: int = 0
    input_tokens: float = 0
    output_tokens: float = 0
    dollars: float = 0
    cached: float = 0
    batch: float = 0

    def __add__(self, other: Bill) -> Bill:
        return Bill(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def judging(plan: Plan, sizes: Sizes, price: Price, nulls: bool = False) -> dict[str, Bill]:
    """Recipe → what its judges take: a plan's cells and extras, with `nulls` the null controls too.

    A null control is the cell's question with another last picture.
    """
    questions: dict[tuple[str, str, str], dict[str, Question]] = {}
    mixes: dict[tuple[str, str, str], tuple[Mix, Mix]] = {}
    for picture in plan:
        for question in _questions(plan, picture):
            key = picture.recipe, question.family, picture.entity
            questions.setdefault(key, {})[question.name] = question
            mixes[key] = sizes.of(picture.task), sizes.of(picture.origin)
    entities = Counter((key[0], tuple(found), *mixes[key]) for key, found in questions.items())
    known = {name: one for found in questions.values() for name, one in found.items()}
    out: dict[str, Bill] = {}
    for (recipe, names, task, source), count in entities.items():
        cells = [name for name in names if nulls and name in load_questions()]
        for asking in (names, cells):
            bill = _bill([known[name] for name in asking], count, task, source, price)
            out[recipe] = out.get(recipe, Bill()) + bill
    return out


def _questions(plan: Plan, picture: Picture) -> Iterator[Question]:
    """What is asked about a picture: by cells of the tables, and about extras."""
    for cell in asked(plan, picture):
        yield load_questions()[cell.judge]
    made = picture.treatment, picture.task.family
    family = PAIRS_OF.get(picture.task.family, picture.task.family)
    for one in asked_beyond().values():
        need = one.need
        same = (need.treatment, need.family) == (picture.treatment, family)
        if same and need.why in plan.needs.get(made, ()):
            yield one.question()


def asked(plan: Plan, picture: Picture) -> Iterator[CellPlan]:
    """The cells that ask about this picture, not those that only show it beside another."""
    made = picture.recipe, picture.variant
    names = plan.needs.get((picture.treatment, picture.task.family), ())
    for cell in load_paper().cells:
        if (cell.recipe, cell.variant) == made and cell.judge in names:
            yield cell


def _bill(questions: list[Question], count: int, task: Mix, source: Mix, price: Price) -> Bill:
    """The same questions about `count` entities, whose pictures come from two tasks at most."""
    seen: dict[str, float] = {
        role: _seen(role, task, source) for question in questions for role in question.images
    }
    texts = [len(q.system) + len(q.text) + sum(map(len, q.labels)) for q in questions]
    tokens = [
        text / CHARACTERS + sum(seen[role] for role in question.images)
        for text, question in zip(texts, questions, strict=True)
    ]
    everything, answers = sum(tokens), ANSWER * len(questions)
    dollars = price.cost(everything, answers)
    shared = _shared(questions, seen)
    again = (len(questions) - 1) * shared
    cached = dollars if not shared else price.cost(
        everything - shared - again, answers, cache_write=shared, cache_read=again
    )  # fmt: skip
    return Bill(
        calls=count * len(questions),
        input_tokens=count * everything,
        output_tokens=count * answers,
        dollars=count * dollars,
        cached=count * cached,
        batch=count * dollars * price.batch,
    )


def _seen(role: str, task: Mix, source: Mix) -> float:
    """The tokens of the picture in a role; all but references are as large as the task."""
    if role == "source_reference":
        return source.mean(_reference)
    return task.mean(_reference if role.endswith("reference") else _picture)


def _reference(size: Size) -> float:
    return size.patches


def _picture(size: Size) -> float:
    return patches(size.width, size.height)


def _shared(questions: list[Question], seen: Mapping[str, float]) -> float:
    """The tokens with which all these questions begin, or 0 where no cache takes them."""
    if len(questions) < 2:
        return 0
    first = questions[0]
    tokens = len(first.system) / CHARACTERS
    starts = zip(*(zip(q.labels, q.images, strict=True) for q in questions), strict=False)
    for parts in starts:
        if len(set(parts)) > 1:
            break
        label, role = parts[0]
        tokens += len(label) / CHARACTERS + seen[role]
    return tokens if tokens >= CACHED else 0
