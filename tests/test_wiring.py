"""Predictions beside made-up verdicts: what reads yes, no or neither, and the confusion table."""

import pytest

from fluxlens.judge import NULL, Verdict
from fluxlens.pages.known_answers import INSTRUMENTS, Reading, confusion, readings
from fluxlens.results import load_paper
from fluxlens.results.claims import predictions
from fluxlens.study import entities, open_study
from fluxlens.study.asked import named

POLARITY = {cell.judge: cell.counts for cell in load_paper().cells}
TASKS = [f"solid_{color}_mug_s{n}" for color in ("red", "blue") for n in range(10)]


def verdicts_of(name, share, null=0.0):
    """Verdicts of which these shares make the outcome, with and without the intervention."""
    judge = name.partition("__")[0]
    passes = POLARITY[judge] == "pass"

    def some(part):
        return {
            task: Verdict((n < round(part * len(TASKS))) == passes) for n, task in enumerate(TASKS)
        }

    return {name: some(share), judge + NULL: some(null)}


def row_of(rows, family, recipe, variant):
    (row,) = [r for r in rows if (r.family, r.recipe, r.variant) == (family, recipe, variant)]
    return row


@pytest.mark.parametrize(
    ("share", "null", "said"),
    [
        (1.0, 0.0, "yes"),
        (0.55, 0.0, "yes"),
        (0.5, 0.0, "partly"),
        (0.1, 0.0, "partly"),
        (0.05, 0.0, "no"),
        (0.6, 0.6, "no"),  # no more than where nothing was done
        (0.7, 0.6, "yes"),
        (0.4, 0.3, "partly"),
        (0.1, 0.9, "no"),
    ],
)
def test_how_a_rate_reads(share, null, said):
    verdicts = verdicts_of("ko_color_ref_to_image", share, null)
    row = row_of(readings("bound", verdicts), "color", "attention_knockout", "ref->image")
    assert (row.said, row.n, row.expected) == (said, 20, "no")
    assert row.right == (said == "no")
    assert row.interval[0] <= row.rate <= row.interval[1]


def test_nothing_is_read_without_verdicts_of_both():
    verdicts = verdicts_of("ko_color_ref_to_image", 1.0)
    del verdicts["ko_color_ref_to_image" + NULL]
    rows = readings("bound", verdicts)
    assert all((row.said, row.right, row.rate, row.interval) == (None,) * 4 for row in rows)
    assert all((line.yes, line.no, line.sensitivity) == (0, 0, None) for line in confusion(rows))


def test_a_model_of_no_known_wiring_has_no_predictions():
    assert readings(None, {}) == readings("random", {}) == []


def test_every_row_of_the_file_is_read_once_for_each_wiring():
    for table in ("wiring", "edge", "placebo", "steering"):
        for wiring in ("bound", "direct"):
            rows = readings(wiring, {}, [table])
            seen = {(r.family, r.recipe, r.variant, r.kept) for r in rows}
            assert len(seen) == len(rows) > 0


def test_what_is_kept_is_read_against_nothing():
    name = named("color", "steering", "padding-x0.5", kept=True).name
    for share, said in ((0.9, "yes"), (0.5, "no")):
        rows = readings("bound", verdicts_of(name, share, null=1.0), ["steering"])
        (row,) = [r for r in rows if r.kept and r.n]
        assert (row.said, row.strength, row.family) == (said, 0.5, "color")


def test_a_placebo_is_read_against_the_patch_where_nothing_was_done():
    name = named("color", "placebo", "noise-pad").name
    rows = readings("bound", verdicts_of(name, 0.5, null=0.45), ["placebo"])
    assert row_of(rows, "color", "placebo", "noise-pad").said == "no"


def test_the_confusion_counts_rows_not_tasks():
    verdicts = {}
    for name, share in {
        "ko_color_ref_to_text": 0.9,  # expected yes, right
        "ko_color_ref_to_text_padding": 0.3,  # expected yes, neither
        "ko_color_ref_to_text_content": 0.0,  # expected no, right
        "ko_color_ref_to_image": 0.2,  # expected no, neither
    }.items():
        verdicts |= verdicts_of(name, share)
    lines = {line.instrument: line for line in confusion(readings("bound", verdicts))}
    assert list(lines) == list(INSTRUMENTS)
    line = lines["knockout"]
    assert (line.yes, line.yes_right, line.no, line.no_right) == (2, 1, 2, 1)
    assert (line.sensitivity, line.specificity) == (0.5, 0.5)
    assert line.yes_tasks == (18 + 6, 40)
    assert line.no_tasks == (0 + 4, 40)


def test_open_predictions_count_for_neither():
    row = Reading("wiring", "bound", "add", "t2i_lens", "pad", "open", "planted", "", n=10, k=10)
    assert row.said == "yes"
    assert row.right is None
    assert not any(line.yes or line.no for line in confusion([row]))


def test_the_rule_is_the_file_s():
    assert set(predictions()["reading"]) == {"most", "room"}


# --- with a limit --------------------------------------------------------------------------------


def test_a_limit_takes_the_first_of_a_control_s_own_sample(tmp_path):
    """Its tasks are others than the first of the list, and so are those of its null."""
    judge = "ko_color_ref_to_text"
    one = named("color", "attention_knockout", "image->ref")
    sample = [entity.id for entity in one.need.entities("mini")]
    listed = [entity.id for entity in entities("mini", "color", "attention_knockout")]
    folder = tmp_path / "mini" / "verdicts" / "oracle"
    folder.mkdir(parents=True)
    for name, found in ((one.name, sample), (judge, listed), (judge + NULL, listed)):
        lines = [f"{entity},0,,oracle,0,0" for entity in found]
        head = "entity_id,pass,reason,model,input_tokens,output_tokens"
        (folder / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n")
    verdicts = open_study("mini", results=tmp_path, limit=3).verdicts
    assert list(verdicts[one.name]) == sample[:3]
    assert list(verdicts[judge]) == listed[:3]
    assert set(verdicts[judge + NULL]) == {*sample[:3], *listed[:3]}
    rows = readings("bound", verdicts, ["edge"])
    (row,) = [r for r in rows if (r.family, r.variant) == ("color", "image->ref")]
    assert (row.n, row.said) == (3, "no")
