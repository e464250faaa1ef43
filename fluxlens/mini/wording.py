"""How an instruction is worded: several ways to ask for one thing, and words that mean nothing.

>>> ask("color", np.random.default_rng(2), object="mug")
'draw a mug in this color'
>>> pad_out("draw a mug in this color", 9, np.random.default_rng(0)).split()[-6:]
['draw', 'a', 'mug', 'in', 'this', 'color']

The first form of each family is the one that the tasks ask with. No form names what only a
reference shows.
"""

import numpy as np

from fluxlens.mini.cast import PEOPLE_PROMPTS
from fluxlens.mini.objects import COLOR_OBJECTS, PROPS
from fluxlens.mini.subjects import PHRASES

__all__ = ["FILLERS", "FORMS", "ask", "pad_out", "vocabulary"]

FORMS: dict[str, tuple[str, ...]] = {
    "color": (
        "draw a {object} in this color",
        "paint a {object} of this color",
        "a {object} that has the color of this image",
        "show me what a {object} looks like in exactly this color",
    ),
    "style": (
        "a photograph of the {kind} in this image {phrase}",
        "the {kind} in this image {phrase}",
        "show the {kind} of this image {phrase}",
        "now show us the very same {kind} as in this image {phrase}",
    ),
    "people": (
        "the {kind} in this image {phrase}",
        "show the {kind} of this image {phrase}",
        "here we want to see the {kind} from this image {phrase}",
    ),
    "add": ("add {a} {prop}", "put {a} {prop} in this image", "place {a} {prop} in the scene"),
    "remove": (
        "remove the {prop}",
        "take the {prop} out of this image",
        "show the scene without the {prop}",
    ),
    "recolor": (
        "draw the object of the second image in the color of the first",
        "paint what the second image shows in the color of the first image",
        "the object of the second image but in the first image color",
    ),
    "replace": (
        "the person of the first image in the place of the second",
        "show the person of the first image where the second image is",
        "put the person from the first image in the scene of the second image",
    ),
}

FILLERS = (
    "please", "kindly", "so", "well", "then", "today", "again", "if you can", "for me",
    "thank you", "as it were", "by the way", "you know", "let us say", "of course", "in short",
    "to begin with", "when you have time", "one more time", "just like that", "no hurry",
    "all in all", "as you like", "and that is all", "we were thinking", "this is what we ask",
)  # fmt: skip


def article(noun: str) -> str:
    """``an`` before a vowel, else ``a``."""
    return "an" if noun[0] in "aeiou" else "a"


def ask(kind: str, rng: np.random.Generator | None, /, **names: str) -> str:
    """One of a kind's forms, the first as often as all others together; with no rng the first."""
    forms = FORMS[kind]
    i = 0 if rng is None or rng.random() < 0.5 else int(rng.integers(1, len(forms)))
    return forms[i].format(**names, a=article(names["prop"]) if "prop" in names else "")


def pad_out(prompt: str, words: int, rng: np.random.Generator) -> str:
    """The prompt among words that mean nothing, up to ``words`` words in all.

    What comes before it and after it is chosen at random; a prompt of ``words`` words or more, and
    the empty one, stay as they are.
    """
    before: list[str] = []
    after: list[str] = []
    room = words - len(prompt.split())
    while prompt and room > 0:
        phrase = FILLERS[rng.integers(len(FILLERS))].split()
        phrase = phrase[-room:]
        room -= len(phrase)
        if rng.random() < 0.5:
            before = phrase + before
        else:
            after = after + phrase
    return " ".join([*before, prompt, *after])


def vocabulary(prompts: list[str]) -> list[str]:
    """Every word of ``prompts``, of all forms and of all fillers, sorted."""
    texts = [*prompts, *FILLERS, *PHRASES, *PROPS, *COLOR_OBJECTS, "a an"]
    texts += [place.phrase for place in PEOPLE_PROMPTS.values()]
    texts += [form for forms in FORMS.values() for form in forms]
    return sorted({word for text in texts for word in text.split() if "{" not in word})
