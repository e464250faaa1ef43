"""The phantoms: lessons with decoys, the routes that a wiring plants, and their training."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import fluxlens as fl
from fluxlens.mini import architecture, phantoms
from fluxlens.mini.architecture import PHANTOMS
from fluxlens.mini.card import write_card
from fluxlens.mini.cast import TEST_PEOPLE
from fluxlens.mini.drawings import Figure, Portrait, SceneView, Solid, StillLife
from fluxlens.mini.evaluate import evaluate, lessons, read
from fluxlens.mini.latents import AFTER, BEFORE
from fluxlens.mini.lesson_data import draw_chunk
from fluxlens.mini.lessons import (
    HOLDS,
    KINDS,
    TRAITS,
    Kind,
    PersonInScene,
    random_lesson,
    random_text,
    rank,
)
from fluxlens.mini.sheet import sheet
from fluxlens.mini.train_flow import positions
from fluxlens.mini.train_text import turns
from fluxlens.mini.train_wirings import random_prompt, read_in_windows, reworded
from fluxlens.mini.wirings import STRANGER, WINDOWS, Reading, Wiring, masks, text_masks
from fluxlens.mini.wording import FILLERS, FORMS, pad_out, vocabulary
from fluxlens.mini.world import COLORS, NO_FREE, held_out, prompts

LENGTH, TOKENS = 64, 36
IMAGE = slice(LENGTH, LENGTH + TOKENS)
PLANTED = [name for name in PHANTOMS["wirings"] if name != "mini-free"]


def _view(reference: int, reader: str) -> slice:
    start = LENGTH + TOKENS + (2 * reference + (reader == "text")) * TOKENS
    return slice(start, start + TOKENS)


def _facts(drawing: Any) -> dict[str, Any]:
    """What a portrait or a scene shows, by name."""
    if isinstance(drawing, Portrait):
        return vars(drawing.person)
    assert isinstance(drawing, SceneView)
    return vars(drawing.scene) | {"prop": drawing.prop, "slot": drawing.slot}


def test_a_prompt_among_fillers_keeps_its_words_in_their_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        prompt = random_prompt(rng)
        words = int(rng.integers(4, 21))
        longer = pad_out(prompt, words, rng)
        assert prompt in longer
        assert len(longer.split()) == max(words, len(prompt.split())) * bool(prompt)
    meant = {w for kind in FORMS.values() for form in kind for w in form.split()} | {*COLORS}
    said = {w for filler in FILLERS for w in filler.split()}
    assert not said & meant & {*COLORS, "image", "remove", "add", "first", "second"}


def test_every_word_of_every_prompt_is_one_token() -> None:
    tokenizer = architecture.tokenizer(
        [f"{word} {word}" for word in vocabulary(prompts())], PHANTOMS
    )
    rng = np.random.default_rng(1)
    texts = [reworded(random_prompt(rng), PHANTOMS, rng) for _ in range(400)]
    for text in texts:
        assert len(tokenizer(text)["input_ids"]) == len(text.split())
        assert len(text.split()) <= PHANTOMS["text"]["words"]
    real = (turns(tokenizer, texts, 96) != tokenizer.pad_token_id).sum(1)
    assert real.tolist() == [BEFORE + len(text.split()) + AFTER for text in texts]


@pytest.mark.parametrize("kind", KINDS)
def test_decoys_differ_in_their_property_alone_and_training_shows_nothing_held_out(
    kind: Kind,
) -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        lesson = random_lesson(kind, rng)
        for reference, held in zip(lesson.references, HOLDS[kind], strict=True):
            assert reference.properties == held
            assert len(reference.decoys) == (len(held) if len(held) > 1 else 0)
            for name, decoy in zip(held, reference.decoys, strict=False):
                here, there = (_facts(drawing) for drawing in (reference.drawing, decoy))
                differ = {key for key in here if here[key] != there[key]}
                assert differ
                mine = {"setting", "light"} if "setting" in here else set(TRAITS)
                assert differ <= mine if name in ("place", "traits") else not differ & mine
                assert not differ & {"prop", "slot"}
                if "setting" in there:
                    assert not held_out(decoy.scene)  # type: ignore[attr-defined]
                else:
                    assert decoy.person not in TEST_PEOPLE.values()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_held_tasks_are_ones_that_training_never_shows(kind: Kind) -> None:
    rng = np.random.default_rng(3)

    def key(held: bool) -> Any:
        lesson = random_lesson(kind, rng, held=held)
        match lesson.result:
            case StillLife(_, rgb):
                return rgb
            case Figure(subject, _, phrase):
                return subject, phrase
            case Portrait(person, _):
                return person
            case SceneView(scene, _, _):
                return scene
            case PersonInScene(person, scene):
                assert held_out(scene) == held
                return person
        raise AssertionError(lesson)

    assert not {key(False) for _ in range(300)} & {key(True) for _ in range(100)}


def test_a_chunk_is_drawn_alike_twice_and_holds_its_decoys() -> None:
    first, again = (draw_chunk("replace", 1, 2, PHANTOMS) for _ in range(2))
    assert (first["pictures"] == again["pictures"]).all()
    assert first["pictures"].shape == (2, 7, 96, 96, 3)
    assert (draw_chunk("replace", 2, 2, PHANTOMS)["pictures"] != first["pictures"]).any()
    rng = np.random.default_rng(0)
    assert all(random_text(rng)[1].draw(NO_FREE).size == (96, 96) for _ in range(20))


def test_shares_of_a_wiring_are_shares_of_the_references() -> None:
    graded = Wiring.of("mini-graded", PHANTOMS)
    names = [f"n{i}" for i in range(40)]
    for held, share in (("color", 0.25), ("style", 0.5), ("place", 0.75), ("layout", 0.0)):
        routes = [graded.route(held, rank(name, names)) for name in names]  # type: ignore[arg-type]
        assert routes.count("text") == pytest.approx(40 * share)
        assert routes.count("text") + routes.count("straight") == 40
    assert Wiring.of("mini-free", PHANTOMS).free
    with pytest.raises(ValueError, match="wirings are mini"):
        Wiring.of("mini-planted", PHANTOMS)
    bad = PHANTOMS | {"wirings": {"odd": {"steps": 1, "color": {"text": 0.5}}}}
    with pytest.raises(ValueError, match="shares of 1"):
        Wiring.of("odd", bad)


def test_readers_are_shown_nothing_of_a_property_that_is_not_theirs() -> None:
    rng = np.random.default_rng(4)
    mini, both = (Wiring.of(name, PHANTOMS) for name in ("mini", "mini-redundant"))
    shown: dict[str, set[Any]] = {}
    for _ in range(300):
        for kind in KINDS:
            ranks = [0.2] * len(HOLDS[kind])
            reading = mini.read(kind, ranks, rng)
            if reading.planted:
                shown.setdefault(kind, set()).add((reading.straight, reading.text))
            reading = both.read(kind, ranks, rng)
            for a, b in zip(reading.straight, reading.text, strict=True):
                assert ((a is None) != (b is None)) == reading.planted
    # Picture 1 is the reference, 2 and 3 are its decoys.
    assert shown["color"] == {((None,), (1,)), ((STRANGER,), (1,))}
    assert shown["add"] == shown["remove"] == {((2,), (3,))}
    assert shown["people"] == {((2,), (3,))}  # these traits go over text …
    straight = [mini.read("people", [0.9], rng) for _ in range(200)]
    assert {(r.straight, r.text) for r in straight if r.planted} == {  # … and these do not
        ((1,), (None,)),
        ((1,), (STRANGER,)),
    }
    assert {s[0] for s, _ in shown["recolor"]} == {None, STRANGER}
    assert {t[1] for _, t in shown["recolor"]} == {None, STRANGER}
    assert shown["replace"] == {((2, 5), (3, 6))}


def _masks(
    wiring: Wiring, kind: Kind, readings: list[Reading], real: int = 20
) -> tuple[torch.Tensor, int]:
    rng = np.random.default_rng(5)
    n = len(readings)
    return masks(wiring, [kind] * n, readings, [real] * n, LENGTH, TOKENS, rng), real


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("kind", KINDS)
def test_text_reads_and_the_image_reads_text_in_separate_blocks(name: str, kind: Kind) -> None:
    wiring, rng = Wiring.of(name, PHANTOMS), np.random.default_rng(6)
    readings = [wiring.read(kind, [0.3] * len(HOLDS[kind]), rng) for _ in range(200)]
    whole, real = _masks(wiring, kind, readings)
    assert whole.any(dim=-1).all()  # every query has something to read
    for row, reading in enumerate(readings):
        mask = whole[row]
        late = [held == ("color",) for held in HOLDS[kind]]
        if reading.windows:
            assert not mask[0, IMAGE, :LENGTH].any()
            assert mask[1, IMAGE, :real].all()
            assert mask[1, IMAGE, real:LENGTH].all() != any(late)
            assert mask[2, IMAGE, :LENGTH].all()
        else:
            assert mask[:, IMAGE, :LENGTH].all()
        for i in range(len(HOLDS[kind])):
            a, b = _view(i, "straight"), _view(i, "text")
            assert not mask[:, IMAGE, b].any()
            if not reading.planted:  # one place for all; the other one is nobody's
                assert mask[:, IMAGE, a].all()
                assert not mask[:, :LENGTH, b].any()
                continue
            assert not mask[:, :LENGTH, a].any()
            assert mask[:, IMAGE, a].all() == (reading.straight[i] is not None)
            for view in (a, b):  # a view is read, and reads nothing but itself
                assert mask[:, view, view].all()
                assert mask[:, view].sum() == WINDOWS * TOKENS**2
            for w in range(WINDOWS):
                open_here = reading.text[i] is not None
                open_here &= not reading.windows or w == int(late[i])
                assert mask[w, real:LENGTH, b].any() == open_here
                assert not (wiring.pads and mask[w, :real, b].any())


def test_single_positions_are_closed_to_references_and_one_pad_stays() -> None:
    wiring = Wiring.of("mini-text", PHANTOMS)
    reading = Reading((None,), (1,), planted=True, windows=False)
    whole, real = _masks(wiring, "style", [reading] * 300)
    reads = whole[:, 0, :LENGTH, _view(0, "text")]
    assert (reads.all(-1) == reads.any(-1)).all()  # a position reads the reference, or does not
    share = reads.any(-1).float().mean(1)
    assert float((share == 1).float().mean()) == pytest.approx(0.5, abs=0.1)
    assert share.min() < 0.25
    assert reads[:, real:].any(-1).any(-1).all()


def test_text_to_image_is_read_after_the_early_blocks() -> None:
    whole = text_masks(Wiring.of("mini", PHANTOMS), 400, LENGTH, TOKENS, np.random.default_rng(7))
    early = whole[:, 0, LENGTH:, :LENGTH].flatten(1)
    assert (early.any(1) == early.all(1)).all()
    assert 1 - float(early.all(1).float().mean()) == pytest.approx(0.85, abs=0.06)
    assert whole[:, 1:].all()


def test_each_block_takes_its_own_windows_mask() -> None:
    torch.manual_seed(0)
    model = architecture.transformer(PHANTOMS).eval()
    read_in_windows(model, PHANTOMS)
    size = LENGTH + TOKENS
    text_ids, image_ids = positions(6, LENGTH, ())
    image, text = torch.randn(1, TOKENS, 48), torch.randn(1, LENGTH, 192)

    @torch.no_grad()
    def run(text: torch.Tensor, closed: tuple[int, ...] | None) -> torch.Tensor:
        given = {}
        if closed is not None:
            mask = torch.ones(1, WINDOWS, size, size, dtype=torch.bool)
            mask[:, list(closed), LENGTH:, :LENGTH] = False
            given = {"attention_mask": mask}
        out: torch.Tensor = model(
            hidden_states=image, encoder_hidden_states=text, timestep=torch.ones(1),
            txt_ids=text_ids, img_ids=image_ids, joint_attention_kwargs=given, return_dict=False,
        )[0]  # fmt: skip
        return out

    torch.testing.assert_close(run(text, ()), run(text, None), atol=1e-5, rtol=1e-4)
    other = torch.randn(1, LENGTH, 192)
    assert torch.equal(run(text, (0, 1, 2)), run(other, (0, 1, 2)))
    for some in ((0, 1), (1, 2), (0, 2)):  # each window opens a way that the others do not
        assert not torch.allclose(run(text, some), run(other, some))


def test_the_phantoms_all_fit_into_the_package() -> None:
    model = architecture.transformer(PHANTOMS)
    shipped = len(PHANTOMS["wirings"])
    megabytes = 2 * sum(p.numel() for p in model.parameters()) * shipped / 1e6
    shared = sum(f.stat().st_size for f in phantoms.VAE.parent.rglob("*") if f.is_file()) / 1e6
    assert megabytes + shared < 48


def test_evaluation_reads_held_tasks_off_their_own_drawings() -> None:
    for kind in KINDS:
        for lesson, given, _ in lessons(kind, 3):
            assert isinstance(given, tuple) == (len(HOLDS[kind]) == 2)
            found = read(lesson, lesson.result.draw(NO_FREE))
            assert all(value == 1 for value in found.values()), (lesson, found)
    studio = StillLife("mug", (20, 20, 20)).draw(NO_FREE)
    (lesson, _, _), *_ = lessons("replace", 1)
    assert not any(read(lesson, studio).values())


def test_a_small_training_goes_on_where_it_stopped_and_ends_in_models_that_edit(
    tmp_path: Path,
) -> None:
    config = copy.deepcopy(PHANTOMS)
    config["data"] = dict.fromkeys(config["data"], 2) | {"chunk": 2}
    config["text"]["steps"] = 1
    config["train"]["batch"] = 2
    config["stages"] = {name: config["stages"][name] for name in ("base", "mini", "mini-free")}
    config["stages"]["base"]["steps"] = 1
    for wiring in config["wirings"].values():
        wiring["steps"] = 2
    with pytest.raises(ValueError, match="stages are base, mini, mini-free, not mini-bound"):
        phantoms.train(tmp_path, ["mini-bound"], config)
    with pytest.raises(FileNotFoundError, match="no state of mini"):
        phantoms.export(tmp_path, tmp_path / "weights", config=config)
    phantoms.train(tmp_path, ["base"], config, compiled=False)
    told = phantoms.status(tmp_path, config)
    assert told["state"].tolist() == ["done", "not begun", "not begun"]
    phantoms.train(tmp_path, None, config, compiled=False)
    told = phantoms.status(tmp_path, config)
    assert told["state"].eq("done").all()
    assert told["step"].tolist() == told["of"].tolist() == [1, 2, 2]
    folders = phantoms.export(tmp_path, tmp_path / "weights", config=config)
    assert [folder.name for folder in folders] == ["mini", "mini-free"]
    with pytest.raises(FileNotFoundError, match="holds no model"):
        phantoms.restore(tmp_path, tmp_path / "again", config)
    assert phantoms.restore(tmp_path / "weights", tmp_path / "again", config) == [
        "mini",
        "mini-free",
    ]
    for name in ("mini", "mini-free"):
        was, now = (load_file(tmp_path / w / f"{name}.safetensors") for w in (".", "again"))
        for key, value in was.items():
            torch.testing.assert_close(now[key], value, atol=2e-2, rtol=2e-2)
    red, mug = Solid((220, 40, 40)).draw(NO_FREE), StillLife("mug", (60, 60, 60)).draw(NO_FREE)
    pictures = set()
    for folder in folders:
        flux = fl.load(folder)
        assert (flux.name, flux.wiring) == (folder.name, folder.name)
        assert len(flux.blocks) == 12
        image = flux.edit(FORMS["recolor"][0], ref=[(red, mug)], seed=[0])[0]
        assert image.size == (96, 96)
        pictures.add(image.tobytes())
    assert len(pictures) == 2
    scores = evaluate(flux, 1)
    assert {"recolor: the first’s color", "replace: scene kept"} <= {s.name for s in scores}
    told_of = ("| color | 100% | 0% | 0% | 0% |", "Nothing was planted")
    for folder, planted in zip(folders, told_of, strict=True):
        write_card(folder, scores)
        assert planted in (folder / "README.md").read_text()
    assert sheet(flux, columns=1).height == (5 * 2 + 2 * 3 + 1) * 108
