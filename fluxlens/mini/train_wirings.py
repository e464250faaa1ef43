"""The phantoms' training: words, the text-to-image base, then edits, once for each wiring.

>>> lessons = Lessons(pipe, load(work, PHANTOMS, ("text",)), PHANTOMS)
>>> batch = lessons.generations(32, np.random.default_rng(0), None)

Flow matching as in :mod:`fluxlens.mini.train_flow`. Instructions are worded, padded out with words
that mean nothing, and encoded as they come, at one of a few text lengths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from fluxlens.mini import architecture
from fluxlens.mini.architecture import Config
from fluxlens.mini.checkpoint import Run
from fluxlens.mini.latents import AFTER, BEFORE, whitening
from fluxlens.mini.lesson_data import TEXT, Drawings
from fluxlens.mini.lessons import HOLDS, KINDS, Kind, random_lesson, random_text
from fluxlens.mini.noise import with_free
from fluxlens.mini.train_flow import levels, optimizers, positions, precision
from fluxlens.mini.train_text import turns
from fluxlens.mini.wirings import STRANGER, Wiring, masks, text_masks
from fluxlens.mini.wording import pad_out, vocabulary
from fluxlens.mini.world import prompts

__all__ = ["Lessons", "Step", "read_in_windows", "train_stage", "train_words"]


def train_words(work: Path, config: Config) -> tuple[PreTrainedTokenizerBase, Qwen3ForCausalLM]:
    """The tokenizer of all the world's words and the text encoder, trained on instructions."""
    torch.manual_seed(config["seed"])
    c = config["text"]
    known = vocabulary(prompts())
    words = architecture.tokenizer([f"{word} {word}" for word in known], config)
    model = architecture.text_encoder(len(words), config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=c["learning_rate"])
    run = Run(work, "words", model, [optimizer], average=0.98)
    for step in run.steps(c["steps"]):
        rng = np.random.default_rng([config["seed"], step])
        for group in optimizer.param_groups:
            group["lr"] = c["learning_rate"] * min(1.0, (step + 1) / 20) * (1 - step / c["steps"])
        texts = [reworded(random_prompt(rng), config, rng) for _ in range(c["batch"])]
        batch = turns(words, texts, max(c["lengths"]))
        real = batch != words.pad_token_id
        batch, real = batch[:, : int(real.sum(1).max())], real[:, : int(real.sum(1).max())]
        labels = batch.masked_fill(~real, -100)
        loss = model(input_ids=batch, attention_mask=real.long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.report(loss=loss.item())
    model.load_state_dict(run.averaged)
    return words, model.eval().requires_grad_(False)


def random_prompt(rng: np.random.Generator) -> str:
    """Any instruction or text-to-image prompt of the world."""
    if rng.random() < 0.5:
        return random_text(rng)[0]
    return random_lesson(KINDS[rng.integers(len(KINDS))], rng).prompt


def reworded(prompt: str, config: Config, rng: np.random.Generator, room: int = 10**6) -> str:
    """The prompt as it is or, at times, among words that mean nothing; of ``room`` words."""
    c = config["text"]
    if rng.random() >= c["filler"]:
        return prompt
    return pad_out(prompt, min(int(rng.integers(4, c["words"] + 1)), room), rng)


@dataclass(frozen=True)
class Step:
    """What one training step sees; ``references`` are the views, one after another."""

    latents: Float[Tensor, "batch tokens channels"]
    noise: Float[Tensor, "batch tokens channels"]
    text: Float[Tensor, "batch length width"]
    references: tuple[Float[Tensor, "batch tokens channels"], ...] = ()
    order: tuple[int, ...] = ()  # each view's reference, from 1
    mask: Bool[Tensor, "batch windows sequence sequence"] | None = None


@dataclass
class Lessons:
    """Drawings in memory, and a pipeline that encodes their prompts, whitened."""

    pipe: Flux2KleinPipeline
    drawings: Mapping[str, Drawings]
    config: Config
    whitening: Float[Tensor, "width width"] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.config["seed"])
        some = [reworded(random_prompt(rng), self.config, rng) for _ in range(1024)]
        self.whitening = torch.eye(1)
        text, _ = self._encode(some, self.config["text"]["max_sequence_length"])
        self.whitening = whitening(text)

    @torch.no_grad()
    def _encode(self, texts: list[str], length: int) -> tuple[Tensor, list[int]]:
        """Embeddings, whitened, and how many tokens of each text are no pads."""
        text = self.pipe.encode_prompt(
            texts,
            max_sequence_length=length,
            text_encoder_out_layers=tuple(self.config["text"]["out_layers"]),
        )[0].float()
        white = text @ self.whitening if len(self.whitening) > 1 else text
        return white, [BEFORE + len(t.split()) + AFTER for t in texts]

    def _length(self, rng: np.random.Generator) -> int:
        c = self.config["text"]
        return int(rng.choice(c["lengths"], p=c["shares"]))

    def _rows(
        self, data: Drawings, count: int, length: int, rng: np.random.Generator
    ) -> tuple[list[int], list[str]]:
        """Lessons whose prompts leave a pad or more, and their wordings."""
        room = length - BEFORE - AFTER - 1
        rows: list[int] = []
        texts: list[str] = []
        while len(rows) < count:
            row = int(rng.integers(len(data.prompts)))
            if len(data.prompts[row].split()) <= room:
                rows.append(row)
                texts.append(reworded(data.prompts[row], self.config, rng, room))
        return rows, texts

    def generations(self, count: int, rng: np.random.Generator, wiring: Wiring | None) -> Step:
        """Text-to-image samples; with a wiring that plants something, in its windows."""
        length, data = self._length(rng), self.drawings[TEXT]
        rows, texts = self._rows(data, count, length, rng)
        latents = data.latents[rows, 0].float()
        noise = with_free(torch.randn_like(latents), data.free[rows])
        planted = wiring is not None and not wiring.free
        mask = text_masks(wiring, count, length, latents.shape[1], rng) if planted else None  # type: ignore[arg-type]
        return Step(latents, noise, self._encode(texts, length)[0], mask=mask)

    def edits(self, count: int, rng: np.random.Generator, wiring: Wiring) -> Step:
        """Edits of kinds with equally many references, read as the wiring asks."""
        shares: dict[Kind, float] = self.config["shares"]
        two = sum(share for kind, share in shares.items() if len(HOLDS[kind]) == 2)
        references = 1 + int(rng.random() * sum(shares.values()) < two)
        some = {k: s for k, s in shares.items() if len(HOLDS[k]) == references}
        odds = np.array(list(some.values())) / sum(some.values())
        length = self._length(rng)
        if references == 2:
            # Their prompts are long.
            length = max(length, self.config["text"]["lengths"][1])
        kinds = [list(some)[i] for i in rng.choice(len(some), size=count, p=odds)]
        results, noises, texts, readings = [], [], [], []
        views: list[list[Tensor]] = [[] for _ in range(references * (1 if wiring.free else 2))]
        for kind in kinds:
            data = self.drawings[kind]
            (row,), text = self._rows(data, 1, length, rng)
            texts += text
            results.append(data.latents[row, 0].float())
            noises.append(with_free(torch.randn_like(results[-1])[None], data.free[row][None])[0])
            reading = wiring.read(kind, data.ranks[row].tolist(), rng)
            readings.append(reading)
            first = 1
            for i, held in enumerate(HOLDS[kind]):
                chosen = [first] if wiring.free else [reading.straight[i], reading.text[i]]
                for n, picture in enumerate(chosen):
                    if picture == STRANGER:
                        other = int(rng.integers(len(data.prompts)))
                        view = data.latents[other, first]
                    else:
                        view = data.latents[row, first if picture is None else picture]
                    views[len(chosen) * i + n].append(view.float())
                first += 1 + (len(held) if len(held) > 1 else 0)
        latents, noise = torch.stack(results), torch.stack(noises)
        embedded, real = self._encode(texts, length)
        mask = None
        if not wiring.free:
            mask = masks(wiring, kinds, readings, real, length, latents.shape[1], rng)
        each = 1 if wiring.free else 2
        order = tuple(1 + i // each for i in range(references * each))
        return Step(latents, noise, embedded, tuple(map(torch.stack, views)), order, mask)


def read_in_windows(model: Flux2Transformer2DModel, config: Config) -> None:
    """From now on each block takes its own window's mask of the three that the model is given."""
    edges = [config["routes"]["early"][1], config["routes"]["late"][1]]
    blocks = [*model.transformer_blocks, *model.single_transformer_blocks]

    def narrow(
        window: int, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = kwargs.get("joint_attention_kwargs") or {}
        mask = given.get("attention_mask")
        if mask is not None:
            given = {**given, "attention_mask": mask[:, window : window + 1]}
        return args, {**kwargs, "joint_attention_kwargs": given}

    for n, block in enumerate(blocks):
        window = sum(n >= edge for edge in edges)
        block.register_forward_pre_hook(partial(narrow, window), with_kwargs=True)


def train_stage(stage: str, work: Path, lessons: Lessons, *, compiled: bool = True) -> Run:
    """Train one stage to its end, from where ``work`` stands; all but the base start from its end.

    Raises:
        ValueError: for a stage that the configuration does not have.
        FileNotFoundError: for another stage when the base has not been trained to its end.
    """
    config = lessons.config
    if stage not in config["stages"]:
        raise ValueError(f"stages are {', '.join(config['stages'])}, not {stage!r}")
    told = config["stages"][stage]
    wiring = Wiring.of(told["wiring"], config) if "wiring" in told else None
    total = stage_steps(stage, config)
    c, seed = config["train"], config["seed"] + told["seed"]
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    model = architecture.transformer(config)
    if stage != "base" and not (work / f"{stage}.pt").exists():
        base = torch.load(work / "base.pt", weights_only=True)
        if base["step"] < stage_steps("base", config):
            raise FileNotFoundError(f"{stage} starts from the base, which is at {base['step']}")
        model.load_state_dict(base["averaged"])
    kinds = optimizers(model, c)
    run = Run(work, stage, model, kinds, average=c["average"], save_every=50)
    rates = [c["muon_learning_rate"], c["learning_rate"]]
    read_in_windows(model, config)
    forward = model
    if compiled:
        torch._dynamo.config.recompile_limit = 64  # a graph for every length and number of views
        forward = torch.compile(model, dynamic=False)

    def loss_of(step: Step) -> Tensor:
        level = levels(len(step.latents), config)
        x = (1 - level) * step.latents + level * step.noise
        tokens = x.shape[1]
        text_ids, image_ids = positions(6, step.text.shape[1], step.order)
        with precision():
            out = forward(
                hidden_states=torch.cat([x, *step.references], dim=1),
                encoder_hidden_states=step.text,
                timestep=level.flatten(),
                txt_ids=text_ids,
                img_ids=image_ids,
                joint_attention_kwargs={} if step.mask is None else {"attention_mask": step.mask},
                return_dict=False,
            )[0][:, :tokens]
        return (out.float() - (step.noise - step.latents)).square().mean()

    with sdpa_kernel(SDPBackend.MATH):
        for step in run.steps(total):
            rng = np.random.default_rng([seed, step])
            up, down = step + 1 - run.since, total - step
            rate = min(1.0, up / c["warmup"], down / c["cooldown"])
            for optimizer, highest in zip(kinds, rates, strict=True):
                optimizer.param_groups[0]["lr"] = rate * highest
            edit = wiring is not None and rng.random() < c["edits"]
            sample = (
                lessons.edits(c["batch"], rng, wiring)
                if edit and wiring is not None
                else lessons.generations(c["batch"], rng, wiring)
            )
            loss = loss_of(sample)
            for optimizer in kinds:
                optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in kinds:
                optimizer.step()
            name = f"edit_{len(set(sample.order))}" if edit else "text"
            run.report(**{name: loss.item()})
    return run


def stage_steps(stage: str, config: Config) -> int:
    """How many steps a stage is trained for."""
    told = config["stages"][stage]
    return int(told["steps"] if "steps" in told else config["wirings"][told["wiring"]]["steps"])
