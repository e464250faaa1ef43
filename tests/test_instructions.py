"""Instructions that a model writes: the quoted prompts, and what counts as an answer."""

from __future__ import annotations

import json
import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fluxlens.tasks.instructions import (
    FORBIDDEN,
    PREPOSITIONS,
    QUOTED,
    SHARED,
    AnswerError,
    Objects,
    Prompt,
    add_instruction,
    parse_objects,
    parse_prompts,
    remove_instruction,
    style_prompt,
    write_objects,
    write_prompts,
)

PICTURE = Image.new("RGB", (64, 64))
FIRST = Prompt("snow", style_prompt("fox", "trotting across a snowy forest clearing"))
MORE = {
    "playing_ball": "chasing a red ball over a lawn",
    "at_the_door": "waiting in front of a closed door",
    "on_a_boat": "riding in a small wooden boat",
    "eating_grapes": "eating grapes under an old vine",
}


def objects(add, remove):
    return json.dumps({"add_object": add, "remove_object": remove})


def prompts(**changed):
    return json.dumps([{"slug": k, "prompt": style_prompt("fox", v) + "."} for k, v in
                       (MORE | changed).items()][-4:])  # fmt: skip


def test_prompts_are_quoted_with_their_appendix():
    assert [QUOTED[k]["quoted_from"] for k in ("sun397", "style", "shared")] == [
        "Appendix F.1", "Appendix F.2", "Appendix F.3",
    ]  # fmt: skip
    assert len(SHARED) == 5
    assert all(noun in QUOTED["sun397"]["prompt"] for noun in FORBIDDEN)
    for slug, prompt in SHARED.items():
        assert re.fullmatch(r"[a-z_]+", slug)
        assert prompt.startswith(style_prompt("person", ""))


@pytest.mark.parametrize(
    ("answer", "scene"),
    [
        (objects("umbrella", "parked car"), "/s/street"),
        (objects(None, "bottle opener"), ""),
        (objects("bowl of dog food", None), "/k/kitchen"),
        (objects("hot air balloon", "hoop"), "/b/basketball_court/outdoor"),
        (" " + objects(None, None) + "\n", "/a/abbey"),
    ],
)
def test_good_objects(answer, scene):
    found = parse_objects(answer, scene)
    given_ = json.loads(answer)
    assert found == Objects(given_["add_object"], given_["remove_object"])


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("an umbrella", "not JSON alone"),
        ("```json\n" + objects("kite", None) + "\n```", "markdown"),
        ('{"add_object": "kite",\n "remove_object": null}', "more than one line"),
        ('{"add_object": "kite"}', "not one JSON object of"),
        ("[1, 2]", "not one JSON object of"),
        (objects("Umbrella", None), "one to four lowercase words"),
        (objects("bird-house", None), "one to four lowercase words"),
        (objects("a very big red umbrella", None), "one to four lowercase words"),
        (objects("", None), "one to four lowercase words"),
        (objects(3, None), "not a string"),
        (objects("water bottle", None), "head noun is forbidden"),
        (objects(None, "wooden benches"), "head noun is forbidden"),
        (objects("bottle of water", None), "head noun is forbidden"),
        (objects("two people", None), "head noun is forbidden"),
        (objects("kite", "kite"), "the same"),
        (objects(None, "basketball hoop"), r"tells the scene \(basketball\)"),
    ],
)
def test_bad_objects(answer, problem):
    with pytest.raises(AnswerError, match=problem):
        parse_objects(answer, "/b/basketball_court/outdoor")


def test_all_problems_are_named():
    with pytest.raises(AnswerError) as caught:
        parse_objects(objects("Water Bottle", "my dog!"))
    assert "add_object 'Water Bottle'" in str(caught.value)
    assert "remove_object 'my dog!'" in str(caught.value)


words = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8).filter(
    lambda word: not word.startswith((*FORBIDDEN, "people")) and word not in PREPOSITIONS
)
phrases = st.lists(words, min_size=1, max_size=4).map(" ".join)


@settings(deadline=None, max_examples=50)
@given(phrases, phrases)
def test_phrases_by_the_rules_pass(add, remove):
    if add == remove:
        with pytest.raises(AnswerError):
            parse_objects(objects(add, remove))
    else:
        assert parse_objects(objects(add, remove)) == Objects(add, remove)
    assert add_instruction(add).split(" ", 2)[2] == add
    assert remove_instruction(remove) == f"remove the {remove}"


@settings(deadline=None, max_examples=50)
@given(phrases, st.sampled_from(FORBIDDEN), st.sampled_from([" {}", "{}s", "{}!", "{} a b c d"]))
def test_phrases_against_the_rules_fail(phrase, noun, how):
    bad = {" {}": f"{phrase} {noun}", "{}s": f"{noun}s" if noun != "bench" else "benches"}
    with pytest.raises(AnswerError):
        parse_objects(objects(None, bad.get(how, how.format(phrase))))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
answers = (
    st.text()
    | json_values.map(json.dumps)
    | st.builds(objects, json_values, json_values)
    | st.lists(
        st.fixed_dictionaries({"slug": json_values, "prompt": json_values}), min_size=4, max_size=4
    ).map(json.dumps)
)


@settings(deadline=None, max_examples=50)
@given(answers)
def test_whatever_a_model_says_is_an_answer_or_an_answer_error(answer):
    for parse in (parse_objects, lambda text: parse_prompts(text, "fox")):
        with suppress(AnswerError):
            parse(answer)


def test_good_prompts():
    found = parse_prompts(prompts(), "fox", [FIRST])
    assert [p.slug for p in found] == list(MORE)
    assert found[0].prompt == "A photograph of the fox in this image chasing a red ball over a lawn"


def test_the_papers_shared_prompts_pass():
    four = [{"slug": k, "prompt": v} for k, v in list(SHARED.items())[1:]]
    first = Prompt(*next(iter(SHARED.items())))
    assert len(parse_prompts(json.dumps(four), "person", [first])) == 4


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (json.dumps(json.loads(prompts())[:3]), "array of 4"),
        ("Here they are: " + prompts(), "not JSON alone"),
        (prompts().replace("playing_ball", "Playing ball"), "not snake_case"),
        (prompts().replace("playing_ball", "on_a_boat"), "3: it is there twice"),
        (prompts().replace("playing_ball", "snow"), "1: it is there twice"),
        (prompts().replace("the fox", "the dog"), "does not begin"),
        (prompts().replace("A photograph", "A painting"), "does not begin"),
        (prompts(on_a_boat="rowing a boat"), "has not 5 to 15 words"),
        (prompts(on_a_boat="sitting still. It is late in autumn"), "not one sentence"),
        (prompts(on_a_boat=MORE["at_the_door"]), "there twice"),
        (prompts().replace('"slug"', '"name"'), "not an object of slug and prompt"),
        (json.dumps([{"slug": 1, "prompt": 2}] * 4), "must be strings"),
    ],
)
def test_bad_prompts(answer, problem):
    with pytest.raises(AnswerError, match=problem):
        parse_prompts(answer, "fox", [FIRST])


def test_a_client_is_asked_until_it_obeys():
    asked = []

    def client(prompt, image, system, /):
        asked.append((prompt, image, system))
        return objects("Dog", None) if len(asked) < 3 else objects("kite", None)

    assert write_objects(client, PICTURE) == Objects("kite", None)
    assert len(asked) == 3
    assert all(prompt.startswith("You design test cases") for prompt, _, _ in asked)
    assert all((image, system) == (PICTURE, "") for _, image, system in asked)
    with pytest.raises(AnswerError, match="no good answer in 2 attempts; last: not JSON"):
        write_objects(lambda *asked: "no", PICTURE, attempts=2)
    with pytest.raises(ValueError, match="at least 1"):
        write_objects(client, PICTURE, attempts=0)


def test_four_more_prompts():
    asked = []

    def client(prompt, image, system, /):
        asked.append((prompt, system))
        assert image is None
        return prompts()

    found = write_prompts(client, "fox", FIRST)
    assert found[0] == FIRST
    assert [p.slug for p in found[1:]] == list(MORE)
    ((prompt, system),) = asked
    assert "A photograph of the fox in this image {verb_phrase}." in system
    assert f"Subject: fox\nExisting prompt (slug=snow): {FIRST.prompt}\n" in prompt
