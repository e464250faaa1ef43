"""The figures of mini's world: subjects with their things, and people."""

from dataclasses import asdict
from itertools import combinations

import numpy as np
import pytest

from fluxlens.mini.canvas import Canvas, Manner
from fluxlens.mini.cast import PEOPLE_PROMPTS, TEST_PEOPLE, random_person
from fluxlens.mini.held import HELD, draw_held
from fluxlens.mini.people import ATTRIBUTES, Person, draw_person, neighbours, valid
from fluxlens.mini.subjects import ACTIONS, PHRASES, SUBJECTS, draw_subject

SETTINGS = {
    *("beach", "street", "forest", "mountains", "desert", "garden", "harbor", "snowfield"),
    *("kitchen", "bedroom", "office", "garage", "library", "stage"),
}
MANNERS: tuple[Manner, ...] = ("photo", "illustrated")


def board(manner: Manner) -> Canvas:
    canvas = Canvas(manner)
    canvas.backdrop((170, 200, 220))
    return canvas


def pixels(canvas: Canvas) -> np.ndarray:
    return np.asarray(canvas.image(), np.int16)


def subject(name: str, manner: Manner) -> np.ndarray:
    canvas = board(manner)
    draw_subject(canvas, name)
    return pixels(canvas)


def held(prop: str, manner: Manner) -> np.ndarray:
    canvas = board(manner)
    draw_held(canvas, prop)
    return pixels(canvas)


def portrait(person: Person, manner: Manner) -> np.ndarray:
    canvas = board(manner)
    draw_person(canvas, person)
    return pixels(canvas)


def changed(a: np.ndarray, b: np.ndarray) -> int:
    """How many pixels differ plainly."""
    return int((np.abs(a - b).max(axis=2) > 24).sum())


@pytest.mark.parametrize("manner", MANNERS)
def test_subjects_and_things_are_distinct_and_deterministic(manner: Manner) -> None:
    for draw, names, margin in ((subject, SUBJECTS, 700), (held, HELD, 150)):
        shots = {name: draw(name, manner) for name in names}
        empty = pixels(board(manner))
        for name, shot in shots.items():
            assert (shot == draw(name, manner)).all()
            assert changed(shot, empty) > margin, name
        for a, b in combinations(names, 2):
            assert changed(shots[a], shots[b]) > margin, (a, b)


def test_figures_take_their_place_and_size() -> None:
    shot = board("illustrated")
    draw_subject(shot, "frog", x=30, base=80, height=40)
    rows, columns = np.nonzero(changed_map(pixels(shot), pixels(board("illustrated"))))
    assert rows.min() >= 36
    assert rows.max() <= 82
    assert abs((columns.min() + columns.max()) / 2 - 30) < 2


def changed_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).max(axis=2) > 24


def test_actions_cover_the_papers_prompts() -> None:
    assert len(SUBJECTS) == 18
    assert len(ACTIONS) == 90
    assert {s: sum(k[0] == s for k in ACTIONS) for s in SUBJECTS} == dict.fromkeys(SUBJECTS, 5)
    for action in ACTIONS.values():
        assert PHRASES[action.phrase] == (action.setting, action.prop)
        assert len(action.phrase.split()) <= 3
        assert action.setting in SETTINGS
        assert action.prop in HELD
    assert {a.phrase for a in ACTIONS.values()} == set(PHRASES)
    assert {a.prop for a in ACTIONS.values()} == set(HELD)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown subject 'unicorn'"):
        draw_subject(Canvas(), "unicorn")
    with pytest.raises(ValueError, match="unknown thing 'sword'"):
        draw_held(Canvas(), "sword")
    with pytest.raises(ValueError, match="unknown kind 'robot'"):
        random_person(np.random.default_rng(0), kind="robot")
    bearded_girl = Person(**{**asdict(TEST_PEOPLE["04"]), "facial_hair": "beard"})
    with pytest.raises(ValueError, match="not a valid person"):
        draw_person(Canvas(), bearded_girl)


def test_test_people_differ_widely() -> None:
    assert list(TEST_PEOPLE) == ["01", "02", "04", "07", "08", "10", "11", "15", "18", "19"]
    assert all(map(valid, TEST_PEOPLE.values()))
    for a, b in combinations(TEST_PEOPLE.values(), 2):
        assert sum(getattr(a, n) != getattr(b, n) for n in ATTRIBUTES) >= 5, (a, b)


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("number", ["01", "02", "07", "15", "19"])
def test_every_attribute_shows(number: str, manner: Manner) -> None:
    person = TEST_PEOPLE[number]
    shot = portrait(person, manner)
    assert (shot == portrait(person, manner)).all()
    for name, other in neighbours(person):
        assert changed(shot, portrait(other, manner)) >= 40, (name, other)


def test_random_people_are_valid_and_never_test_people() -> None:
    rng = np.random.default_rng(3)
    people = [random_person(rng) for _ in range(2000)]
    assert all(valid(p) and p not in TEST_PEOPLE.values() for p in people)
    for name, values in ATTRIBUTES.items():
        assert {getattr(p, name) for p in people} == set(values)
    assert random_person(rng, kind="girl").kind == "girl"
    again = np.random.default_rng(3)
    assert [random_person(again) for _ in range(20)] == people[:20]


def test_people_prompts() -> None:
    assert len(PEOPLE_PROMPTS) == 14
    assert len({p.phrase for p in PEOPLE_PROMPTS.values()}) == 14
    for prompt in PEOPLE_PROMPTS.values():
        assert len(prompt.phrase.split()) <= 4
        assert prompt.setting in SETTINGS
        assert prompt.light in ("morning", "noon", "dusk", "night")
