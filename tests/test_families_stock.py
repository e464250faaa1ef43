"""The tiny pipelines and the oracles, held against the stock pipelines that they stand for."""

from __future__ import annotations

import importlib.util
from contextlib import contextmanager, suppress

import oracles
import pytest
import torch
from conftest import picture
from families import FAMILIES, QWEN_DROP, call, load, save
from helpers import PROMPT, pixels

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
CLOSE = {"rtol": 1e-4, "atol": 2e-4}  # a masked attention is another kernel than a shorter one
NAMES = list(FAMILIES)
EDITS = {  # one per architecture
    "klein-base": ((112, 80), (64, 64)),
    "dev-left": ((96, 64),),
    "kontext": ((80, 64),),
    "qwen-edit": ((96, 96),),
    "qwen-edit-plus": ((96, 64), (64, 64)),
}


@pytest.fixture(scope="module")
def pipes():
    """Each family's pipeline, built once."""
    return {name: family.build(0) for name, family in FAMILIES.items()}


class Stopped(Exception):
    pass


@contextmanager
def calls(pipe, stop=False):
    """Collect the keyword arguments and outputs of every forward of the transformer."""
    inputs, outputs = [], []

    def before(module, args, kwargs):
        assert not args
        now = {"step_index": pipe.scheduler.step_index, "current_timestep": pipe.current_timestep}
        inputs.append({**kwargs, **now})
        if stop:
            raise Stopped

    handles = [
        pipe.transformer.register_forward_pre_hook(before, with_kwargs=True),
        pipe.transformer.register_forward_hook(lambda m, a, out: outputs.append(out[0].clone())),
    ]
    try:
        yield inputs, outputs
    except Stopped:
        pass
    finally:
        for handle in handles:
            handle.remove()


def velocities(pipe, run, tokens=None):
    """All outputs of the transformer in a run, the image's own tokens only."""
    with calls(pipe) as (_, outputs):
        run()
    return [out[:, :tokens] for out in outputs]


def references(name):
    return [picture(*size, seed=n + 3) for n, size in enumerate(EDITS.get(name, ((96, 64),)))]


def layout(pipe, name, refs):
    """Spans of a small edit of this family, predicted."""
    kwargs = FAMILIES[name].call
    height, width = FAMILIES[name].size
    more = {"max_area": height * width} if name == "kontext" else {}
    image, of_refs = oracles.grids(pipe, refs, height, width, **{**kwargs, **more})
    length = kwargs.get("max_sequence_length", 512)
    text = oracles.text_positions(pipe, PROMPT, refs, length)
    return text, image, of_refs, oracles.spans(text.length, image, of_refs)


def test_a_seed_is_the_weights():
    for build in {family.build for family in FAMILIES.values()}:
        one, same, other = (build(seed).transformer.state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(value, same[key]) for key, value in one.items())
        assert not all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("name", ["klein-base", "dev-left", "kontext", "qwen-edit-plus"])
def test_saved_and_loaded_it_is_the_same(name, pipes, tmp_path):
    loaded = load(save(tmp_path, name), name)
    assert type(loaded) is FAMILIES[name].stock
    pipe, refs = pipes[name], references(name)[:1]
    ours, theirs = (velocities(p, lambda p=p: call(name, p, PROMPT, refs)) for p in (pipe, loaded))
    assert len(ours) == 2 * len(FAMILIES[name].passes)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.skipif(importlib.util.find_spec("torchvision"), reason="torchvision is there")
def test_without_torchvision_qwen_does_not_load_by_itself(tmp_path):
    folder = save(tmp_path, "qwen-edit")
    with pytest.raises(ImportError, match=r"(?i)torchvision"):
        FAMILIES["qwen-edit"].stock.from_pretrained(folder)


@pytest.mark.parametrize("name", NAMES)
def test_an_edit_depends_on_prompt_and_reference(name, pipes):
    pipe, refs = pipes[name], references(name)
    base = call(name, pipe, PROMPT, refs).images[0]
    height, width = FAMILIES[name].size
    assert base.size == (width, height)
    others = [picture(*ref.size, seed=50 + n) for n, ref in enumerate(refs)]
    for prompt, pictures in (("no", refs), (PROMPT, others)):
        changed = call(name, pipe, prompt, pictures).images[0]
        assert abs(pixels(base) - pixels(changed)).max() > 2


@pytest.mark.parametrize("name", NAMES)
def test_without_a_reference(name, pipes):
    if FAMILIES[name].generates:
        image = call(name, pipes[name], PROMPT).images[0]
        assert image.size == FAMILIES[name].size[::-1]
    else:
        with pytest.raises(AttributeError, match="size"):
            call(name, pipes[name], PROMPT)


@pytest.mark.parametrize("name", EDITS)
def test_an_open_mask_is_the_stock_attention(name, pipes):
    pipe, refs = pipes[name], references(name)
    text, image, of_refs, at = layout(pipe, name, refs)
    length = at["ref"].stop

    def edit():
        call(name, pipe, PROMPT, refs)

    stock = velocities(pipe, edit)
    processors = dict(pipe.transformer.attn_processors)

    def opened(forward, block):
        """Passes of a true guidance differ in the length of their text."""
        return torch.ones(1, 1, 1, 1, dtype=torch.bool)

    with oracles.attention(pipe, opened, keep=True) as seen:
        ours = velocities(pipe, edit)
    assert pipe.transformer.attn_processors == processors
    for a, b in zip(stock, ours, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
    forwards = 2 * len(FAMILIES[name].passes)
    assert list(seen.forwards) == list(oracles.blocks(pipe.transformer))
    assert set(seen.forwards.values()) == {forwards}
    for kept in seen.probabilities.values():
        assert len(kept) == forwards
        assert kept[0].shape == (1, 2, length, length)
        for weights in kept:
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert at["text"].stop == text.length
    assert ours[0].shape[1] == image[0] * image[1] + sum(r * c for r, c in of_refs)


def conditional(pipe, name, mask, blocks=None):
    """A mask of the conditional passes alone; the other passes keep the stock attention."""
    passes = FAMILIES[name].passes

    def of(forward, block):
        if passes[forward % len(passes)] != "cond" or (blocks and block not in blocks):
            return None
        return mask

    return oracles.attention(pipe, of)


@pytest.mark.parametrize("name", EDITS)
def test_cutting_a_suffix_is_dropping_the_reference(name, pipes):
    """From a block on, in the first conditional forward: readers of text and image lose it."""
    pipe, refs = pipes[name], references(name)
    _, image, _, at = layout(pipe, name, refs)
    area = image[0] * image[1]
    names = list(oracles.blocks(pipe.transformer))
    start = names[len(names) // 2]
    mask = oracles.cut(at["ref"].stop, (at["text"], at["ref"]), (at["image"], at["ref"]))

    def step(**more):
        call(name, pipe, PROMPT, refs, steps=1, output_type="latent", **more)

    plain = velocities(pipe, step, area)
    with conditional(pipe, name, mask, names[names.index(start) :]):
        masked = velocities(pipe, step, area)
    with oracles.dropped(pipe, len(at["text"]), area, start) as short:
        guided = {"klein-base": {"guidance_scale": 1.0}}.get(name, {"true_cfg_scale": 1.0})
        step(**(guided if len(FAMILIES[name].passes) > 1 else {}))
    assert short[0].shape[1] == area
    torch.testing.assert_close(masked[0], short[0], **CLOSE)
    assert (plain[0] - masked[0]).abs().max() > 1e-3
    for one, other in zip(plain[1:], masked[1:], strict=True):  # the unconditional pass
        torch.testing.assert_close(one, other, **TOLERANCE)


@pytest.mark.parametrize("name", [n for n in EDITS if FAMILIES[n].generates])
def test_cutting_both_edges_is_a_run_without_the_reference(name, pipes):
    pipe, refs = pipes[name], references(name)
    _, image, _, at = layout(pipe, name, refs)
    mask = oracles.cut(at["ref"].stop, (at["text"], at["ref"]), (at["image"], at["ref"]))
    with oracles.attention(pipe, mask):
        both = velocities(pipe, lambda: call(name, pipe, PROMPT, refs), image[0] * image[1])
    clean = velocities(pipe, lambda: call(name, pipe, PROMPT))
    for a, b in zip(both, clean, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


def test_a_bias_of_one_head_and_a_mask_are_one_thing(pipes):
    pipe, refs = pipes["dev"], references("dev")
    *_, at = layout(pipe, "dev", refs)
    mask = oracles.cut(at["ref"].stop, (at["image"], at["ref"]))
    bias = torch.zeros(2, *mask.shape)
    bias[1][~mask] = -torch.inf
    with oracles.attention(pipe, {"single.1": bias}, keep=True) as seen:
        one = velocities(pipe, lambda: call("dev", pipe, PROMPT, refs))
    edge = [seen.probabilities[block][0][0][:, at["image"]][..., at["ref"]].sum(-1)
            for block in ("single.0", "single.1")]  # fmt: skip
    assert (edge[0] > 0).all()
    assert (edge[1][0] > 0).all()
    assert (edge[1][1] == 0).all()
    both = torch.stack([torch.ones_like(mask), mask])
    with oracles.attention(pipe, {"single.1": both}):
        other = velocities(pipe, lambda: call("dev", pipe, PROMPT, refs))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# ---------------------------------------------------------------- predictions against real calls

SIZES = {  # reference sizes, height and width asked for, more arguments
    "klein": [(((113, 95),), (None, None), {}), (((96, 64), (70, 130)), (90, 75), {}),
              (((1500, 900),), (64, 64), {}), ((), (None, None), {})],
    "dev": [(((65, 127),), (None, None), {}), (((1030, 1030),), (64, None), {})],
    "kontext": [(((113, 95),), (64, 80), {"max_area": 64 * 80, "_auto_resize": False}),
                (((300, 170),), (64, 96), {"max_area": 64 * 96, "_auto_resize": True}),
                (((96, 96),), (None, None), {"max_area": 96 * 100, "_auto_resize": False})],
    "qwen-edit": [(((300, 170),), (200, 130), {})],
    "qwen-edit-plus": [(((300, 170), (60, 90)), (None, None), {})],
}  # fmt: skip


def told(pipe, kwargs):
    """Grids of image and references as the transformer was told them, whatever the family."""
    if "img_shapes" in kwargs:
        image, *refs = [shape[1:] for shape in kwargs["img_shapes"][0]]
        return image, refs
    ids = kwargs["img_ids"].reshape(-1, kwargs["img_ids"].shape[-1])
    image, *refs = [
        tuple(int(n) + 1 for n in ids[ids[:, 0] == t].max(0).values[1:3])
        for t in ids[:, 0].unique()
    ]
    return image, refs


@pytest.mark.parametrize(
    ("name", "sizes", "size", "more"), [(n, *case) for n, cases in SIZES.items() for case in cases]
)
def test_grids_are_predicted(name, sizes, size, more, pipes):
    pipe, refs = pipes[name], [picture(*s, seed=n) for n, s in enumerate(sizes)]
    more = dict(zip(("height", "width"), size, strict=True)) | more
    with calls(pipe, stop=True) as (inputs, _):
        call(name, pipe, PROMPT, refs, **more)
    image, of_refs = oracles.grids(pipe, refs, **more)
    assert told(pipe, inputs[0]) == (image, of_refs)
    tokens = sum(rows * columns for rows, columns in [image, *of_refs])
    assert inputs[0]["hidden_states"].shape[1] == tokens


@pytest.mark.parametrize("prompt", [PROMPT, "a “red” mug", "", "  two\nlines  "])
@pytest.mark.parametrize("name", NAMES)
def test_text_rows_are_told_apart(name, prompt, pipes):
    """The ids are those that the text encoder got, and the content decodes to the prompt."""
    pipe = pipes[name]
    encoder = getattr(pipe, "text_encoder_2", None) or pipe.text_encoder
    given = []

    def look(module, args, kwargs):
        given.append((args[0] if args else kwargs["input_ids"], kwargs.get("attention_mask")))
        raise Stopped

    handle = encoder.register_forward_pre_hook(look, with_kwargs=True)
    refs = references(name)
    length = FAMILIES[name].call.get("max_sequence_length", 512)
    try:
        with suppress(Stopped):
            call(name, pipe, prompt, refs)
    finally:
        handle.remove()
    text = oracles.text_positions(pipe, prompt, refs, length)
    drop = QWEN_DROP if name.startswith("qwen") else 0
    (ids, mask) = given[0]
    assert ids[0, drop:].tolist() == text.ids
    if mask is not None:
        assert mask[0, drop:].logical_not().nonzero().flatten().tolist() == text.pad
    rows = [*text.content, *text.template, *text.pad, *(n for v in text.vision for n in v)]
    assert sorted(rows) == list(range(text.length))
    tokenizer = getattr(pipe, "tokenizer_2", None) or pipe.tokenizer
    assert tokenizer.decode([text.ids[n] for n in text.content]) == prompt
    if name.startswith("qwen"):
        sizes = [rows * columns for rows, columns in oracles.vision_grids(pipe, refs)]
        assert [len(v) for v in text.vision] == sizes
        assert not text.pad
    else:
        on_the_left = text.pad[0] == 0
        assert on_the_left == (name == "dev-left")


def test_qwen_reads_a_listed_picture_as_it_is(pipes):
    """One picture bare and the same one in a list are two different edits."""
    pipe, (ref,) = pipes["qwen-edit"], references("qwen-edit")
    lengths = {}
    for listed, image in ((False, ref), (True, [ref])):
        with calls(pipe, stop=True) as (inputs, _):
            call("qwen-edit", pipe, PROMPT, image=image)
        lengths[listed] = inputs[0]["encoder_hidden_states"].shape[1]
    ((a, b),), ((c, d),) = (oracles.vision_grids(pipe, [ref], listed) for listed in lengths)
    assert a * b != c * d
    assert lengths[False] - lengths[True] == a * b - c * d


def test_rows_of_unequal_texts_are_masked_by_qwen_itself(pipes):
    """Two prompts with a reference each: zero rows behind the shorter text, closed to all."""
    pipe, ref = pipes["qwen-edit"], picture(96, 96, 3)
    rows = {"image": [ref, picture(96, 96, 4)], "negative_prompt": [" ", " "]}

    def edit():
        call("qwen-edit", pipe, [PROMPT, "mug"], steps=1, output_type="latent", **rows)

    with calls(pipe) as (inputs, stock):
        edit()
    mask = inputs[0]["encoder_hidden_states_mask"]
    lengths = mask.sum(1).tolist()
    assert mask.shape[1] == lengths[0] > lengths[1]
    assert mask[1, : lengths[1]].all()
    assert not inputs[0]["encoder_hidden_states"][1, lengths[1] :].any()
    with oracles.attention(pipe, keep=True) as seen:
        ours = velocities(pipe, edit)
    for a, b in zip(stock, ours, strict=True):
        torch.testing.assert_close(a, b, **TOLERANCE)
    assert not seen.probabilities["double.0"][0][1, :, :, lengths[1] : lengths[0]].any()


@pytest.mark.parametrize("name", [*NAMES, "kontext, guided"])
def test_how_a_step_is_run(name, pipes):
    """Order of the passes, the step's number, the unit of time, and whose tensors arrive."""
    name, _, guided = name.partition(", ")
    more = {"negative_prompt": "no", "true_cfg_scale": 2.0} if guided else {}
    pipe, refs = pipes[name], references(name)
    transformer, encoded, contexts = pipe.transformer, [], []
    encode, context = pipe.encode_prompt, transformer.cache_context

    def remember(*args, **kwargs):
        encoded.append(encode(*args, **kwargs))
        return encoded[-1]

    def enter(label, **kwargs):
        contexts.append(label)
        return context(label, **kwargs)

    pipe.encode_prompt, transformer.cache_context = remember, enter
    try:
        with calls(pipe) as (inputs, _):
            call(name, pipe, PROMPT, refs, **more)
    finally:
        del pipe.encode_prompt, transformer.cache_context
    passes = ("cond", "uncond") if guided else FAMILIES[name].passes
    assert len(encoded) == len(passes)
    assert contexts == ([] if name in ("dev", "dev-left", "kontext") else [*passes] * 2)
    assert [i["step_index"] for i in inputs] == [None] * len(passes) + [1] * len(passes)
    for n, kwargs in enumerate(inputs):
        step, which = divmod(n, len(passes))
        assert kwargs["encoder_hidden_states"] is encoded[which][0]
        assert kwargs.get("encoder_hidden_states_mask") is None
        torch.testing.assert_close(kwargs["timestep"], pipe.scheduler.timesteps[step][None] / 1000)
        assert (kwargs["hidden_states"] is inputs[n - 1]["hidden_states"]) == (which > 0)
        assert kwargs["current_timestep"] == pipe.scheduler.timesteps[step]
    assert pipe.current_timestep is None
