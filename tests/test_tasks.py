"""The study's tasks: the paper's, row for row as its authors', and mini's own."""

from __future__ import annotations

import doctest
import importlib
import json
import zipfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fluxlens import cli
from fluxlens.mini import world
from fluxlens.mini.cast import TEST_PEOPLE
from fluxlens.mini.drawings import Figure
from fluxlens.mini.subjects import ACTIONS
from fluxlens.tasks import (
    FAMILIES,
    PAIRED,
    Assets,
    MissingAssetsError,
    PaperDataError,
    available,
    edit,
    mini_tasks,
    missing,
    pairs,
    paper_tasks,
    reference_image,
    report,
    require,
    row,
)
from fluxlens.tasks.assets import SOURCES
from fluxlens.tasks.paper import BUCKETS
from fluxlens.tasks.task import chosen, noise_seed

COUNTS = {
    "color": 320, "style": 450, "manual": 450, "people": 90, "people_shared": 50,
    "add": 789, "remove": 726,
}  # fmt: skip
PAIRS = {"color": 448, "style": 450, "people_shared": 450}
LISTS = {
    "color": "single9_4step_color", "style": "mm7_4step_style_to_real",
    "people_shared": "mm7_4step_dreambench_humans",
}  # fmt: skip


@pytest.fixture(scope="module")
def mini():
    return {task.task_id: task for task in mini_tasks()}


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_equal_the_authors(data, family):
    tasks = paper_tasks(data, [family])
    theirs = (data / "data/tasks" / BUCKETS[family] / "tasks.jsonl").read_text("utf-8")
    assert len(tasks) == COUNTS[family]
    assert "".join(json.dumps(row(t), sort_keys=True) + "\n" for t in tasks) == theirs


@pytest.mark.parametrize("family", PAIRED)
def test_pairs_equal_the_authors(data, family):
    folder = data / "experiments/i2i_to_i2i_patching/pairs"
    ours = "".join(f"{a}\t{b}\n" for a, b in pairs("paper", family, data))
    assert ours == (folder / f"{LISTS[family]}.txt").read_text("utf-8")


def test_the_paper_has_2875_tasks_in_all(data):
    tasks = paper_tasks(data)
    assert Counter(t.family for t in tasks) == COUNTS
    assert len({t.task_id for t in tasks}) == len(tasks) == 2875
    assert all(t.height % 16 == t.width % 16 == 0 for t in tasks)


def test_what_rules_alone_make_needs_no_clone(tmp_path):
    tasks = paper_tasks(families=["people_shared", "color"])
    assert [t.family for t in tasks] == ["color"] * 320 + ["people_shared"] * 50
    assert len(pairs("paper", "color")) == 448
    assert pairs("paper", "people") == pairs("paper", "people_shared")
    with pytest.raises(PaperDataError, match=r"style, add tasks .* git clone .* --paper-data"):
        paper_tasks(None, ["add", "style", "color"])
    with pytest.raises(PaperDataError, match="has no data/tasks"):
        pairs("paper", "style", tmp_path)
    (tmp_path / "data/tasks").mkdir(parents=True)
    with pytest.raises(PaperDataError, match="not a whole clone"):
        paper_tasks(tmp_path, "add")


def test_seeds_are_the_authors():
    """The ten people's seeds, whatever the prompt; elsewhere a task's own checksum."""
    people = dict(zip(TEST_PEOPLE, (
        1231089401, 247501865, 2235209114, 3323992921, 1148226696,
        3210482924, 3706529026, 3855989353, 45005023, 2681441776,
    ), strict=True))  # fmt: skip
    for task in paper_tasks(families=["people_shared"]):
        assert task.noise_seed == people[f"{task.metadata['human_idx']:02d}"]
    assert all(t.noise_seed == noise_seed(t.task_id) for t in paper_tasks(families="color"))


def test_mini_has_the_papers_counts(mini):
    assert Counter(t.family for t in mini.values()) == COUNTS
    assert len(mini) == 2875
    assert [t.task_id for t in mini_tasks("color")] == [
        t.task_id for t in paper_tasks(families="color")
    ]


def test_minis_ids_are_the_papers_where_the_factors_are(data, mini):
    for family in ("style", "manual", "people_shared"):
        theirs = paper_tasks(data, [family])
        assert {t.task_id for t in theirs} == {
            t.task_id for t in mini.values() if t.family == family
        }
    for task in paper_tasks(data, ["color", "style", "manual"]):
        assert mini[task.task_id].noise_seed == task.noise_seed


def test_minis_seeds_follow_the_papers_rule(mini):
    people = {}
    for task in mini.values():
        if task.family == "manual":
            style = task.task_id.replace("manual_", "customize_property_style_")
            assert task.noise_seed == noise_seed(style.replace("_real_", "_"))
        elif task.family.startswith("people"):
            people.setdefault(task.metadata["subject_index"], set()).add(task.noise_seed)
        else:
            assert task.noise_seed == noise_seed(task.task_id)
    assert [len(seeds) for seeds in people.values()] == [1] * 10


@pytest.mark.parametrize("family", PAIRED)
def test_minis_pairs(mini, family):
    listed = pairs("mini", family)
    assert len(listed) == len(set(listed)) == PAIRS[family]
    for a, b in listed:
        source, target = mini[a], mini[b]
        assert source.noise_seed != target.noise_seed
        assert source.reference != target.reference
        assert source.instruction == target.instruction
    everything = {t.task_id for t in mini.values() if t.family == family}
    assert {a for a, _ in listed} == everything
    if family == "style":
        everything = {t.task_id for t in mini.values() if t.family == "manual"}
    assert {b for _, b in listed} == everything


def test_training_never_combined_these_factors(mini):
    for task in mini.values():
        m = task.metadata
        match task.family:
            case "color":
                assert task.reference.drawing.rgb in world.COLORS.values()
            case "style" | "manual":
                assert ACTIONS[m["subject"], m["prompt_slug"]].phrase == m["phrase"]
            case "people" | "people_shared":
                assert task.reference.drawing.person in TEST_PEOPLE.values()
            case "add" | "remove":
                assert world.held_out(task.reference.drawing.scene)
    tested = {(t.reference.drawing, t.instruction) for t in mini.values()}
    rng = np.random.default_rng(0)
    for family in world.FAMILIES:
        trained = [world.random_edit(family, rng) for _ in range(400)]
        assert tested.isdisjoint((e.reference, e.prompt) for e in trained)


def test_minis_instructions_are_the_worlds(mini):
    said = set(world.prompts())
    assert all(t.instruction in said for t in mini.values())
    own = [t for t in mini.values() if t.family == "people"]
    assert len({(t.metadata["subject_index"], t.instruction) for t in own}) == 90


def test_mini_scenes(mini):
    add = [t for t in mini.values() if t.family == "add"]
    remove = [t for t in mini.values() if t.family == "remove"]
    categories = Counter(tuple(t.metadata[k] for k in ("setting", "light", "palette")) for t in add)
    assert Counter(categories.values()) == {2: 392, 1: 5}
    added = {t.reference.drawing.scene: t.metadata["add_object"] for t in add}
    assert len(added) == 789
    for task in remove:  # every picture of remove is one of add, with something else in it
        drawing = task.reference.drawing
        assert added[drawing.scene] != drawing.prop == task.metadata["remove_object"]
        assert drawing.slot == task.metadata["slot"] in range(3)
    for tasks, key in ((add, "add_object"), (remove, "remove_object")):
        seen = Counter(t.metadata[key] for t in tasks)
        assert len(seen) == 16
        assert min(seen.values()) > 30


def test_truth_comes_back_from_plain_factors(mini):
    for task in mini.values():
        asked = edit(task)
        assert (asked.reference, asked.prompt) == (task.reference.drawing, task.instruction)
        assert json.loads(json.dumps(task.to_json())) == task.to_json()
    style = mini["customize_property_style_free_fox_snow_s3"]
    assert edit(style).result == Figure("fox", "illustrated", "playing in snow")
    twin = mini["manual_free_fox_real_snow_s3"]
    assert edit(twin).result.manner == "photo"
    with pytest.raises(ValueError, match="not a task of mini"):
        edit(paper_tasks(families="color")[0])


def test_references_are_drawn(mini):
    for family in FAMILIES:
        image = reference_image(mini_tasks(family)[0])
        assert (image.mode, image.size) == ("RGB", (96, 96))
    solid = reference_image(paper_tasks(families="color")[0])
    assert (solid.size, solid.getcolors()) == ((1024, 1024), [(1024 * 1024, (220, 40, 40))])
    shared = [t.reference for t in mini.values() if t.family.startswith("people")]
    assert len(set(shared)) == 10


def test_references_equal_the_authors_colors(data):
    for task in paper_tasks(families="color")[::40]:
        with Image.open(data / f"{task.reference.path}.png") as file:
            theirs = file.convert("RGB")
        assert np.array_equal(np.asarray(reference_image(task)), np.asarray(theirs))


def test_references_of_the_clone_are_cropped_and_opaque(data):
    assets = Assets(data=data)
    tasks = [t for t in paper_tasks(data, "style") if "dog" in t.reference.path]
    if missing(tasks, assets):
        pytest.skip("the clone holds no picture of the dog")
    image = reference_image(tasks[0], assets)
    assert image.mode == "RGB"
    assert image.width % 16 == image.height % 16 == 0


def test_everything_missing_is_told_at_once(data):
    tasks = paper_tasks(data)
    assert {t.reference.kind for t in tasks} == {"solid", *(set(SOURCES) - {"subjects", "models"})}
    lost = missing(tasks, Assets())
    assert {m.source: len(m.paths) for m in lost} == {"style": 36, "dreambench": 10, "sun397": 789}
    with pytest.raises(MissingAssetsError) as caught:
        require(tasks, Assets())
    message = str(caught.value)
    for told in ("git clone", "Apache-2.0", "SUN397.tar.gz", "CC BY-NC 4.0", "FLUXLENS_DREAMBENCH",
                 "non-commercial", "786 more"):  # fmt: skip
        assert told in message
    assert message.count("licence:") == 3
    assert message.count("https://") >= 36
    require(mini_tasks() + paper_tasks(families="color"), Assets())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 2 is no task"),
        ("[1, 2]", "line 2 is no task: line 2: Input should be a valid dictionary"),
        ("\x00", "line 2 is no task"),
    ],
)
def test_a_spoilt_list_of_tasks_is_named(tmp_path, text, says):
    from fluxlens.tasks.paper import tasks_file

    file = tmp_path / tasks_file("add")
    file.parent.mkdir(parents=True)
    file.write_text(f"\n{text}\n")
    with pytest.raises(PaperDataError, match=says):
        paper_tasks(tmp_path, "add")


@pytest.mark.parametrize(
    "text",
    ["a: [", "- 1", "", "fox: []", "_version: free\nfox: [{slug: snow}]", "_version: x\nfox: 3",
     "_version: x\nfox: [{slug: ../../snow, prompt: the fox in this image}]",
     "_version: x\n../fox: [{slug: snow, prompt: the fox in this image}]"],
)  # fmt: skip
def test_a_spoilt_list_of_prompts_is_named(tmp_path, text):
    file = tmp_path / "data/tasks/customize/_style_prompts.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    with pytest.raises(PaperDataError, match=r"_style_prompts.yaml holds no prompts"):
        paper_tasks(tmp_path, "style")


def test_what_there_is_is_found(tmp_path):
    tasks = paper_tasks(families="people_shared")
    lost = missing(tasks, Assets(dreambench=tmp_path))
    assert report(lost).startswith("10 of 10 pictures are missing: photographs of the ten people")
    picture = Image.new("RGBA", (80, 70), (10, 20, 30, 255))
    folder = tmp_path / "data/images/live_subject/human"
    folder.mkdir(parents=True)
    for number in TEST_PEOPLE:
        picture.convert("RGB").save(folder / f"{number}.jpg")
    assert missing(tasks, Assets(dreambench=tmp_path)) == []
    image = reference_image(tasks[0], Assets(dreambench=tmp_path))
    assert (image.mode, image.size) == ("RGB", (1024, 1024))

    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.write(folder / "01.jpg", "data/images/live_subject/human/01.jpg")
    zipped = Assets(dreambench=tmp_path / "data.zip")
    assert np.array_equal(np.asarray(reference_image(tasks[0], zipped)), np.asarray(image))
    assert [len(m.paths) for m in missing(tasks, zipped)] == [9]
    assert available(tasks, zipped) == tasks[:5]

    clone = Assets(data=tmp_path / "clone")
    photo = clone.data / "data/tasks/customize/images"
    photo.mkdir(parents=True)
    picture.save(
        photo / "customize_dreambench_plus_live_subject_human_11_basketball_player.jpg.png"
    )
    with pytest.raises(MissingAssetsError, match="1 of 1 pictures is missing"):
        reference_image(tasks[30], clone)
    name = "customize_dreambench_plus_live_subject_human_11_basketball_player.jpg"
    picture.convert("RGB").save(photo / name)
    assert reference_image(tasks[30], clone).size == (1024, 1024)


def test_scenes_are_found_in_sun397(data, tmp_path):
    task = paper_tasks(data, ["add"])[0]
    path = tmp_path / task.reference.path
    path.parent.mkdir(parents=True)
    Image.new("RGB", (70, 90)).save(path)
    assert task.reference.path.startswith("a/anechoic_chamber/sun_")
    image = reference_image(task, Assets(sun397=tmp_path))
    assert image.size == (task.width, task.height)


def test_places_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("FLUXLENS_PAPER_DATA", str(tmp_path / "clone"))
    monkeypatch.setenv("FLUXLENS_SUN397", str(tmp_path / "sun"))
    monkeypatch.setenv("FLUXLENS_DREAMBENCH", str(tmp_path / "dream"))
    found = Assets(tmp_path / "clone", tmp_path / "sun", tmp_path / "dream")
    assert Assets.from_environment() == found
    assert Assets.from_environment(tmp_path).data == tmp_path


@pytest.mark.parametrize("name", ["assets", "instructions", "mini", "pairing", "paper", "task"])
def test_examples_run(name):
    everything = vars(importlib.import_module("fluxlens.tasks"))
    module = importlib.import_module(f"fluxlens.tasks.{name}")
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    picture = {"image": Image.new("RGB", (64, 64))}
    found = doctest.testmod(module, extraglobs={**everything, **picture}, optionflags=flags)
    assert (found.failed, found.attempted > 0) == (0, True)


def test_families_are_named_right():
    assert chosen(None) == FAMILIES
    assert chosen("add") == ("add",)
    with pytest.raises(ValueError, match="no family 'hats'; there are color, style"):
        mini_tasks(["hats"])
    with pytest.raises(ValueError, match="no pairs of 'add'"):
        pairs("mini", "add")
    with pytest.raises(ValueError, match="no world 'moon'"):
        pairs("moon", "color")


def test_command(capsys, monkeypatch):
    monkeypatch.delenv("FLUXLENS_PAPER_DATA", raising=False)
    assert cli.main(["tasks", "--world", "mini"]) == 0
    counts = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {k.strip(): int(v) for k, v in counts.items()} == COUNTS | {"in all": 2875}
    assert cli.main(["tasks", "--family", "add", "people", "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert Counter(r["family"] for r in rows) == {"add": 789, "people": 90}
    assert list(rows[0]) == ["task_id", "family", "instruction", "noise_seed", "height", "width",
                             "reference", "metadata"]  # fmt: skip
    assert cli.main(["tasks", "--world", "paper"]) == 1
    assert "git clone" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["tasks", "--family", "hats"])
    assert "people_shared" in capsys.readouterr().err


def test_command_reads_a_clone(capsys, data):
    words = ["tasks", "--world", "paper", "--paper-data", str(data), "--format", "jsonl"]
    assert cli.main(words) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2875
