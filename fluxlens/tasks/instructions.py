"""Instructions written by a model that sees the reference (paper, Appendix F), and their checks.

>>> parse_objects('{"add_object": "umbrella", "remove_object": "parked car"}')
Objects(add='umbrella', remove='parked car')
>>> parse_objects('{"add_object": "Water bottle", "remove_object": null}')
Traceback (most recent call last):
AnswerError: add_object 'Water bottle': not one to four lowercase words; its head noun is forbidden

The prompts are quoted in ``instructions.toml``. An answer that breaks a rule of theirs is asked
for again, in the same words. mini's world writes its own instructions and needs none of this.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol, TypeVar

from PIL import Image

QUOTED = tomllib.loads(files("fluxlens.tasks").joinpath("instructions.toml").read_text("utf-8"))
FORBIDDEN: tuple[str, ...] = tuple(QUOTED["sun397"]["forbidden"])
PREPOSITIONS = ("of", "with", "on", "in", "for", "from", "at")
# Appendix F.3's prompts for everybody, by slug.
SHARED: dict[str, str] = QUOTED["shared"]["prompts"]

__all__ = [
    "FORBIDDEN", "QUOTED", "SHARED", "AnswerError", "Client", "Objects", "Prompt",
    "add_instruction", "parse_objects", "parse_prompts", "remove_instruction", "style_prompt",
    "write_objects", "write_prompts",
]  # fmt: skip

T = TypeVar("T")
Picture = Path | Image.Image


class Client(Protocol):
    """Anything that answers a prompt, with or without a picture and a system prompt."""

    def __call__(self, prompt: str, image: Picture | None, system: str, /) -> str: ...


class AnswerError(ValueError):
    """An answer broke rules of its prompt; the message names them all."""


@dataclass(frozen=True)
class Objects:
    """What one picture can gain and lose; ``None`` where nothing fits (Appendix F.1)."""

    add: str | None
    remove: str | None


@dataclass(frozen=True)
class Prompt:
    """An instruction and the short name that stands in its task's id (Appendix F.2)."""

    slug: str
    prompt: str


def add_instruction(thing: str) -> str:
    """
    >>> add_instruction("umbrella")
    'add an umbrella'
    """
    return f"add {'an' if thing[:1] in tuple('aeiou') else 'a'} {thing}"


def remove_instruction(thing: str) -> str:
    """
    >>> remove_instruction("parked car")
    'remove the parked car'
    """
    return f"remove the {thing}"


def style_prompt(subject: str, verb_phrase: str) -> str:
    """The template of all style and shared prompts.

    >>> style_prompt("fox", "trotting across a snowy forest clearing")
    'A photograph of the fox in this image trotting across a snowy forest clearing'
    """
    return f"A photograph of the {subject} in this image {verb_phrase}"


def _head(words: Sequence[str]) -> str:
    """The noun that a phrase is about: the last before "of", "with" and their like."""
    for i, word in enumerate(words[1:], 1):
        if word in PREPOSITIONS:
            return words[i - 1]
    return words[-1] if words else ""


def _is_noun(word: str, noun: str) -> bool:
    """Whether a word is this noun, in the singular or the plural."""
    return word in (noun, f"{noun}s", f"{noun}es") or (word, noun) == ("people", "person")


def _object_problems(phrase: str, scene: str) -> list[str]:
    words = phrase.lower().split()
    problems = []
    if not re.fullmatch(r"[a-z]+( [a-z]+){0,3}", phrase):
        problems.append("not one to four lowercase words")
    if any(_is_noun(_head(words), noun) for noun in FORBIDDEN):
        problems.append("its head noun is forbidden")
    # A name without the category's folder letter: /b/basketball_court/outdoor.
    place = set(re.split(r"[/_ ]+", re.sub(r"^/?[a-z]/", "", scene))) - {"", "indoor", "outdoor"}
    if named := sorted(place & set(words)):
        problems.append(f"it tells the scene ({', '.join(named)})")
    return problems


def parse_objects(answer: str, scene: str = "") -> Objects:
    """An answer to Appendix F.1's prompt, or :class:`AnswerError` with all that is wrong.

    ``scene`` is the picture's SUN397 category. Of the scene-agnostic rule only this much can be
    checked: no object bears a word of it. (Nor can "singular" and "no named people" be.)

    >>> parse_objects('{"add_object": null, "remove_object": "hoop"}', "/b/basketball_court")
    Objects(add=None, remove='hoop')
    """
    found = _json(answer)
    keys = ("add_object", "remove_object")
    if not isinstance(found, dict) or set(found) != set(keys):
        raise AnswerError("not one JSON object of add_object and remove_object")
    problems = []
    if "\n" in answer.strip():
        problems.append("more than one line")
    for key in keys:
        value = found[key]
        if value is None:
            continue
        wrong = _object_problems(value, scene) if isinstance(value, str) else ["not a string"]
        if wrong:
            problems.append(f"{key} {value!r}: {'; '.join(wrong)}")
    if found[keys[0]] is not None and found[keys[0]] == found[keys[1]]:
        problems.append("the two objects are the same")
    if problems:
        raise AnswerError(". ".join(problems))
    return Objects(found["add_object"], found["remove_object"])


def _json(answer: str) -> Any:
    if "```" in answer:
        raise AnswerError("markdown around the JSON")
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"not JSON alone: {error}") from error


def _prompt_problems(slug: str, prompt: str, subject: str) -> list[str]:
    problems = []
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", slug):
        problems.append("its slug is not snake_case")
    start = style_prompt(subject, "")
    if not prompt.startswith(start):
        problems.append(f"it does not begin {start.strip()!r}")
    elif not 5 <= len(prompt.removeprefix(start).split()) <= 15:
        problems.append("its verb phrase has not 5 to 15 words")
    elif not re.fullmatch(r"[^\n.!?]+", prompt):
        problems.append("it is not one sentence")
    return problems


def parse_prompts(answer: str, subject: str, existing: Sequence[Prompt] = ()) -> list[Prompt]:
    """An answer to Appendix F.2's prompts: four new ones, without their full stops.

    ``subject`` is the kind word ("fox"; for F.3 "person"); ``existing`` prompts must not return.
    """
    found = _json(answer)
    if not isinstance(found, list) or len(found) != 4:
        raise AnswerError("not a JSON array of 4 objects")
    out, problems = [], []
    seen = {old.slug for old in existing} | {_plain(old.prompt) for old in existing}
    for i, item in enumerate(found, 1):
        if not (isinstance(item, Mapping) and set(item) == {"slug", "prompt"}):
            problems.append(f"{i}: not an object of slug and prompt")
            continue
        slug, prompt = item["slug"], item["prompt"]
        if not (isinstance(slug, str) and isinstance(prompt, str)):
            problems.append(f"{i}: slug and prompt must be strings")
            continue
        prompt = prompt.strip().removesuffix(".")
        wrong = _prompt_problems(slug, prompt, subject)
        if {slug, _plain(prompt)} & seen:
            wrong.append("it is there twice")
        if wrong:
            problems.append(f"{i}: {'; '.join(wrong)}")
        seen |= {slug, _plain(prompt)}
        out.append(Prompt(slug, prompt))
    if problems:
        raise AnswerError(". ".join(problems))
    return out


def _plain(prompt: str) -> str:
    return " ".join(prompt.lower().removesuffix(".").split())


def _ask(ask: Callable[[], str], parse: Callable[[str], T], attempts: int) -> T:
    for attempt in range(1, attempts + 1):
        try:
            return parse(ask())
        except AnswerError as error:
            if attempt == attempts:
                raise AnswerError(
                    f"no good answer in {attempts} attempts; last: {error}"
                ) from error
    raise ValueError(f"attempts must be at least 1, not {attempts}")


def write_objects(client: Client, image: Picture, scene: str = "", *, attempts: int = 3) -> Objects:
    """One call per picture: what to add to it and what to remove (Appendix F.1).

    >>> write_objects(lambda *asked: '{"add_object": "kite", "remove_object": null}', image)
    Objects(add='kite', remove=None)

    `AnswerError` after so many ``attempts``; what else the client raises ends them at once.
    """
    prompt = QUOTED["sun397"]["prompt"].strip()
    return _ask(
        lambda: client(prompt, image, ""), lambda answer: parse_objects(answer, scene), attempts
    )


def write_prompts(
    client: Client, subject: str, first: Prompt, *, attempts: int = 3
) -> list[Prompt]:
    """``first`` and four more after its template (Appendix F.2; with "person" also F.3).

    >>> four = {f"tree_{n}": f"sleeping under tree number {n}" for n in "1234"}
    >>> four = [{"slug": k, "prompt": style_prompt("fox", v)} for k, v in four.items()]
    >>> answer = json.dumps(four)
    >>> first = Prompt("snow", style_prompt("fox", "trotting across a snowy forest clearing"))
    >>> [p.slug for p in write_prompts(lambda *asked: answer, "fox", first)]
    ['snow', 'tree_1', 'tree_2', 'tree_3', 'tree_4']
    """
    system, user = QUOTED["style"]["system"].strip(), QUOTED["style"]["user"].strip()
    system = system.replace("{subject}", subject)
    user = user.format(subject=subject, slug=first.slug, existing_prompt=first.prompt)
    more = _ask(
        lambda: client(user, None, system),
        lambda answer: parse_prompts(answer, subject, [first]),
        attempts,
    )
    return [first, *more]
