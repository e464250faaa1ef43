"""Who is in the people family: ten people for the tasks, all others for training, and 14 places.

>>> anyone = random_person(np.random.default_rng(0), kind="man")
>>> anyone in TEST_PEOPLE.values(), PEOPLE_PROMPTS["library"].phrase
(False, 'in a library')

Prompts name a person's ``kind`` and nothing else of them.
"""

from typing import NamedTuple

import numpy as np

from fluxlens.mini.people import ATTRIBUTES, Person, valid

__all__ = ["PEOPLE_PROMPTS", "TEST_PEOPLE", "PeoplePrompt", "random_person"]


def _person(line: str) -> Person:
    return Person(*line.split(", "))


# Numbered as the paper's photographs are; 11 and 18 are its basketball players.
TEST_PEOPLE: dict[str, Person] = {
    number: _person(line)
    for number, line in {
        "01": "man, ivory, square, short, teal, square glasses, none, none, checks, red, black",
        "02": "man, umber, round, curly, grey, none, beard, cap, plain, yellow, blue",
        "04": "girl, sand, round, buns, black, none, none, none, dots, pink, white",
        "07": "man, bronze, oval, long, black, round glasses, moustache, none, stripes, green, "
        "yellow",
        "08": "man, chestnut, square, spiky, violet, none, none, none, dots, black, sky",
        "10": "man, sand, oval, short, ginger, none, beard, none, stripes, blue, white",
        "11": "man, umber, square, short, black, none, none, headband, plain, white, red",
        "15": "woman, bronze, oval, long, ginger, square glasses, none, none, checks, sky, pink",
        "18": "man, chestnut, oval, curly, black, none, moustache, headband, stripes, yellow, "
        "green",
        "19": "girl, ivory, round, bob, blond, round glasses, none, cap, dots, blue, red",
    }.items()
}


def random_person(rng: np.random.Generator, kind: str | None = None) -> Person:
    """A valid person, of the given kind or any, and never one of TEST_PEOPLE."""
    if kind is not None and kind not in ATTRIBUTES["kind"]:
        raise ValueError(f"unknown kind {kind!r}; one of {', '.join(ATTRIBUTES['kind'])}")
    while True:
        values = {n: v[int(rng.integers(len(v)))] for n, v in ATTRIBUTES.items()}
        values["kind"] = kind or values["kind"]
        if values["kind"] != "man":
            values["facial_hair"] = "none"
        if values["headwear"] != "none" and rng.random() < 0.5:
            values["headwear"] = "none"  # most heads bare: hair is seen best there
        person = Person(**values)
        if valid(person) and person not in TEST_PEOPLE.values():
            return person


class PeoplePrompt(NamedTuple):
    """Where the person is put: words for the prompt, and how that place looks."""

    phrase: str
    setting: str
    light: str


# Nine of one kind and five shared by all, as in the paper.
PEOPLE_PROMPTS: dict[str, PeoplePrompt] = {
    "walking_city_street": PeoplePrompt("on a city street", "street", "noon"),
    "holding_coffee_kitchen": PeoplePrompt("in a kitchen", "kitchen", "morning"),
    "reading_park_bench": PeoplePrompt("in a garden", "garden", "noon"),
    "standing_foggy_beach": PeoplePrompt("on a beach", "beach", "morning"),
    "laughing_dinner_party": PeoplePrompt("at a party", "stage", "night"),
    "forest": PeoplePrompt("in a forest", "forest", "morning"),
    "mountains": PeoplePrompt("in the mountains", "mountains", "noon"),
    "desert": PeoplePrompt("in a desert", "desert", "dusk"),
    "harbor": PeoplePrompt("by the harbor", "harbor", "dusk"),
    "snowfield": PeoplePrompt("in the snow", "snowfield", "noon"),
    "library": PeoplePrompt("in a library", "library", "noon"),
    "office": PeoplePrompt("in an office", "office", "morning"),
    "garage": PeoplePrompt("in a garage", "garage", "night"),
    "night_street": PeoplePrompt("outside at night", "street", "night"),
}
