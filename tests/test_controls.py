"""Controls of the study: what they are made of, identities of their pictures, who asks of them."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers import PROMPT, image_states
from study_tools import levels
from torch.testing import assert_close

from fluxlens.judge import NULL
from fluxlens.judge.base import Request
from fluxlens.judge.questions import load_kept, load_questions
from fluxlens.mini.drawings import Figure, StillLife
from fluxlens.mini.world import COLORS, NO_FREE
from fluxlens.oracle import OracleJudge
from fluxlens.results.claims import predictions
from fluxlens.study.asked import asked, named
from fluxlens.study.cells import choose
from fluxlens.study.controls import EDGES, KINDS, STRENGTHS, TOKENS, sampled
from fluxlens.study.paths import entities
from fluxlens.study.pictures import Picture, donors
from fluxlens.study.plan import make_plan, plan_of
from fluxlens.study.report import plan_json
from fluxlens.study.run import Settings, run
from fluxlens.study.store import read_record
from fluxlens.study.treatments import Edit

pytest_plugins = ["study_fixtures"]
QUIET = Settings(shown=False)
FAMILIES = ("color", "style", "people")


@pytest.fixture(scope="module")
def needs():
    return [need for need in choose(extras=["controls"]) if need.why == "controls"]


@pytest.fixture(scope="module")
def plan(needs):
    """Every control of two pairs or tasks of the colors, and of the people's pairs."""
    wanted = [need for need in needs if need.family == "color" or need.treatment.name == "placebo"]
    return make_plan("mini", [need for need in wanted if need.family != "style"], limit=2)


@pytest.fixture(scope="module")
def done(small, plan, tmp_path_factory):
    return run(small, plan, tmp_path_factory.mktemp("controls"), QUIET)


def pictures(plan, recipe, variant=None):
    return [p for p in plan if p.recipe == recipe and variant in (None, p.variant)]


def far(done, one: Picture, other: Picture) -> int:
    """The largest difference of two pictures, in levels."""
    return int(abs(levels(one.path(done.folder)) - levels(other.path(done.folder))).max())


def plain(picture: Picture) -> Picture:
    return Picture(Edit(), picture.task)


def test_everything_is_made_and_nothing_fails(done, plan):
    assert (done.made, done.failures) == (plan.pictures, ())
    assert all(picture.path(done.folder).exists() for picture in plan)
    # units of a batch share what they read in common
    assert done.forwards["capture"] <= plan.counts()["capture"][1]


@pytest.mark.parametrize("tokens", TOKENS)
def test_a_patch_from_the_same_run_changes_nothing(done, plan, tokens):
    found = pictures(plan, "placebo", f"same-run-{tokens}")
    assert len(found) == 4
    assert max(far(done, picture, plain(picture)) for picture in found) <= 1


def test_other_placebos_are_other_pictures(done, plan):
    for kind in set(KINDS) - {"same-run"}:
        found = pictures(plan, "placebo", f"{kind}-all")
        assert any(far(done, picture, plain(picture)) for picture in found), kind


def test_steering_runs_from_the_edit_to_the_patch(done, plan, small):
    for picture in pictures(plan, "steering", "padding-x0"):
        assert far(done, picture, plain(picture)) <= 1
    ends = pictures(plan, "steering", "padding-x1")
    patches = [Picture.named("i2i_patch", "padding", p.task, p.source) for p in ends]
    run(small, plan_of("mini", patches), done.folder.parent, QUIET)
    assert len(ends) == 2
    assert max(far(done, *both) for both in zip(ends, patches, strict=True)) <= 1


def test_a_picture_of_a_control_is_the_same_when_it_is_made_again(done, plan, small):
    some = [
        pictures(plan, "placebo", name)[1] for name in ("shuffled-pad", "mean-all", "noise-all")
    ]
    before = {p: levels(p.path(done.folder)) for p in some}
    for picture in some:
        picture.path(done.folder).unlink()
    again = run(small, plan, done.folder.parent, QUIET)
    assert again.made == len(some)
    assert all((levels(p.path(done.folder)) == before[p]).all() for p in some)


def test_records_say_what_was_patched_in(done, plan):
    for picture in (*pictures(plan, "placebo"), *pictures(plan, "steering")):
        record = read_record(picture.path(done.folder))
        assert record["recipe"] == picture.recipe
        assert record["patched_in"]["what"] == picture.variant
        named_there = [[t.task_id, t.noise_seed] for t in donors(picture)]
        assert record["patched_in"]["from"] == named_there
        assert len(record["asked"]["donors"]) == len(named_there)
        chance = picture.variant.startswith(("shuffled", "noise"))
        assert (record["patched_in"]["seed"] is not None) == chance
    (drop, _) = pictures(plan, "drop_reference")
    assert read_record(drop.path(done.folder))["asked"]["block"]


def test_donors_are_what_their_names_say(plan):
    for picture in pictures(plan, "placebo"):
        kind, found = picture.variant.rpartition("-")[0], donors(picture)
        assert all(task.instruction == picture.task.instruction for task in found)
        target, source = picture.task.reference, picture.origin.reference
        if kind == "mean":
            assert len({task.reference for task in found}) == len(found)
            assert {target, source} <= {task.reference for task in found}
            assert len(found) == {"color": 8, "people_shared": 10}[picture.task.family]
        else:
            (donor,) = found
            assert donor.reference == (target if kind in ("same-run", "like-target") else source)
            new = donor.noise_seed not in (picture.task.noise_seed, picture.origin.noise_seed)
            assert new == kind.startswith("like-")


def test_a_need_is_for_a_fixed_sample(needs):
    pairs = entities("mini", "color", "placebo")
    assert sampled(pairs, 24) == sampled(pairs[::-1], 48)[:24]
    assert sampled(pairs, None) == pairs
    counts = Counter(need.treatment.name for need in needs)
    assert counts == {
        "placebo": 3 * len(KINDS) * len(TOKENS),
        "steering": 2 * len(STRENGTHS),
        "attention_knockout": 3 * (len(EDGES) + 2),
        "drop_reference": 3,
        "t2i_lens": 5,
    }
    whole = make_plan("mini", choose(extras=["controls"]))
    made = Counter((p.recipe, p.variant) for p in whole)
    assert made["placebo", "noise-pad"] == 3 * 24
    assert made["attention_knockout", "ref->text[pad]"] == made["drop_reference", "binding"] == 860
    runs = {run["recipe"]: run for run in plan_json(whole)["runs"]}
    assert runs["placebo"]["needed_by"] == ["controls"]


def test_the_paper_s_own_plan_is_untouched():
    assert make_plan("mini", choose()).forwards == 57571


# --- identities of the edges ---------------------------------------------------------------------


def velocity(flux, cut, red):
    """What the transformer says of the image, at every step."""
    with flux.knockout(cut):
        return image_states(
            flux, lambda: flux.edit(PROMPT, ref=red, seed=5), flux.layout(PROMPT, ref=red)
        )


@pytest.mark.parametrize("row", [r["name"] for r in predictions()["identity"]])
def test_predicted_identities_hold(every, red, row):
    flux = every
    (entry,) = [r for r in predictions()["identity"] if r["name"] == row]
    left = velocity(flux, entry["left"], red)
    if entry["right"] == "generation":
        layout = flux.layout(PROMPT)
        right = image_states(flux, lambda: flux.generate(PROMPT, seed=5), layout)
    else:
        right = velocity(flux, entry["right"], red)
    assert_close(left, right, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("edge", EDGES)
def test_an_edge_alone_need_not_be_null(flux, red, edge):
    """text → ref → image and its like stay open until both ways out of the reference are cut."""
    plain = image_states(
        flux, lambda: flux.edit(PROMPT, ref=red, seed=5), flux.layout(PROMPT, ref=red)
    )
    assert (velocity(flux, edge, red) - plain).abs().max() > 1e-3


def test_image_to_text_is_not_null_behind_the_cut(flux, red):
    """The identity is about the reference's own reading; the text's still matters."""
    both = ["ref->text", "ref->image"]
    gap = velocity(flux, [*both, "image->text"], red) - velocity(flux, both, red)
    assert gap.abs().max() > 1e-3


# --- who asks ------------------------------------------------------------------------------------


def test_every_prediction_has_somebody_who_asks():
    """But for the color lens's own parts, which no wiring predicts."""
    for row in (*predictions()["wiring"], *predictions()["edge"]):
        recipe = row.get("recipe", "attention_knockout")
        for family in row["families"]:
            for variant in row["variants"]:
                assert named(family, recipe, variant) is not None, (family, recipe, variant)
    for row in predictions()["placebo"]:
        for kind in row["kinds"]:
            for tokens in row["tokens"]:
                assert kind in KINDS
                assert tokens in TOKENS
                assert all(named(f, "placebo", f"{kind}-{tokens}") for f in row["families"])
    for row in predictions()["steering"]:
        assert set(row["strengths"]) <= set(STRENGTHS)
        for strength in row["strengths"]:
            variant = f"padding-x{strength:g}"
            kept = row["asks"] == "kept"
            assert all(named(f, "steering", variant, kept) for f in row["families"])


def test_predictions_of_controls_do_not_repeat_themselves():
    for table, key in (("edge", "variants"), ("placebo", "kinds"), ("steering", "strengths")):
        seen = Counter(
            (row["wiring"], family, value, row.get("asks"), tokens)
            for row in predictions()[table]
            for family in row["families"]
            for value in row[key]
            for tokens in row.get("tokens", [""])
        )
        assert set(seen.values()) == {1}
        assert {row["outcome"] for row in predictions()[table]} <= {"yes", "no", "open"}
        said = {row["because"] for row in predictions()[table]}
        assert said <= {"planted", "trial", "identity", "guess"}


def test_verdicts_of_controls_are_nobody_s_cell():
    judges = set(load_questions())
    for name, one in asked().items():
        assert name not in judges
        assert not name.endswith(NULL)
        assert name == one.name
        assert name.partition("__")[0] in judges
        assert not set(name) & set('<>:"/\\|?*')  # a file's name anywhere


def test_a_cut_is_asked_about_by_its_own_name():
    one = named("style", "attention_knockout", "image->ref")
    question = one.question()
    assert "image->ref attention path blocked" in question.labels[2]
    assert "ref->text" not in " ".join([question.text, *question.labels])
    assert question.source == "derived"
    blind = one.question("blind")
    assert blind.text == load_questions("blind")["ko_style_ref_to_text"].text
    patch = named("color", "placebo", "noise-pad").question()
    assert patch.text == load_questions()["i2i2i_color"].text  # a placebo is not told from a patch


def test_items_are_the_pictures_that_the_plan_makes(done, plan):
    planned = {picture.path(done.folder) for picture in plan}
    for one in asked().values():
        if one.need.why != "controls" or one.need.family != "color":
            continue
        for images in list(one.items(done.folder, "mini").values())[:2]:
            seen = {p for p in images.values() if p.parent.parent.name != "reference"}
            assert seen <= planned | {p for p in seen if "generation" in p.parts}


@pytest.mark.parametrize(
    ("family", "before", "after", "kept"),
    [
        ("color", StillLife("mug", COLORS["red"]), StillLife("mug", COLORS["blue"]), True),
        ("color", StillLife("mug", COLORS["red"]), StillLife("car", COLORS["red"]), False),
        ("style", Figure("fox", "photo", "fishing"), Figure("fox", "illustrated", "fishing"), True),
        ("style", Figure("fox", "photo", "fishing"), Figure("dog", "photo", "fishing"), False),
        (
            "style",
            Figure("fox", "photo", "fishing"),
            Figure("fox", "photo", "playing in snow"),
            False,
        ),
    ],
)
def test_the_oracle_sees_what_is_kept_beside_the_property(family, before, after, kept):
    for set in ("paper", "blind"):
        question = load_kept(set)[family]
        images = {"target_baseline": before.draw(NO_FREE), "patched": after.draw(NO_FREE)}
        verdict = OracleJudge().ask(Request("task", question, images))
        assert verdict.passed is kept, verdict.reason
