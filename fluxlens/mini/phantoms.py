"""Train the phantoms: a base, then every wiring from it, in one process or in several.

>>> train(Path("~/.cache/fluxlens/phantoms").expanduser())  # hours; stops and goes on

Each process takes the first stage that is not done and that no other process has, so the same
command, given twice, trains two stages at a time. What is stopped goes on from its last state.
"""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from fluxlens.optional import optional

with optional("study", "tables of training"):
    import pandas as pd
import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from safetensors.torch import save_file
from transformers import AutoTokenizer, Qwen3ForCausalLM

from fluxlens.mini import architecture
from fluxlens.mini.architecture import PHANTOMS, Config
from fluxlens.mini.lesson_data import TEXT, encode, load
from fluxlens.mini.lessons import KINDS
from fluxlens.mini.train_wirings import Lessons, stage_steps, train_stage, train_words

WORK = Path(os.environ.get("FLUXLENS_CACHE", "~/.cache/fluxlens")).expanduser() / "phantoms"
VAE = Path(__file__).parent / "weights" / "mini" / "vae"  # the first minis' autoencoder

__all__ = ["WORK", "export", "parts", "restore", "status", "train"]


@contextmanager
def _lock(work: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Whether this process has what ``name`` stands for, to itself, while the block lasts."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _done(work: Path, stage: str) -> Path:
    return work / f"{stage}.safetensors"


def parts(work: Path, config: Config = PHANTOMS) -> Flux2KleinPipeline:
    """The pipeline with its autoencoder and its text encoder, and an untrained transformer."""
    if not (work / "text_encoder").exists():
        words, model = train_words(work, config)
        words.save_pretrained(work / "tokenizer")
        model.save_pretrained(work / "text_encoder")
    return Flux2KleinPipeline(
        scheduler=architecture.scheduler(),
        vae=AutoencoderKLFlux2.from_pretrained(VAE).float().eval(),
        text_encoder=Qwen3ForCausalLM.from_pretrained(work / "text_encoder").eval(),
        tokenizer=AutoTokenizer.from_pretrained(work / "tokenizer"),
        transformer=architecture.transformer(config),
        is_distilled=True,
    )


def train(
    work: Path = WORK,
    stages: Sequence[str] | None = None,
    config: Config = PHANTOMS,
    *,
    compiled: bool = True,
    pause: float = 30.0,
) -> None:
    """Train what is not done of ``stages`` (default: all), the base first, until all are done.

    Raises:
        ValueError: for a stage that the configuration does not have.
    """
    stages = list(stages or config["stages"])
    if unknown := set(stages) - set(config["stages"]):
        raise ValueError(f"stages are {', '.join(config['stages'])}, not {', '.join(unknown)}")
    stages = ["base", *(s for s in config["stages"] if s in stages and s != "base")]
    with _lock(work, "words", wait=True):
        pipe = parts(work, config)
    while todo := [s for s in stages if not _done(work, s).exists()]:
        if not _one(work, todo, pipe, config, compiled):
            with _lock(work, "latents", wait=True):  # what the wirings will need
                encode(work, pipe, config, KINDS)
            time.sleep(pause)


def _one(
    work: Path, todo: Sequence[str], pipe: Flux2KleinPipeline, config: Config, compiled: bool
) -> bool:
    """Train the first stage that can be trained now and is nobody's; False when there is none."""
    for stage in todo:
        if stage != "base" and not _done(work, "base").exists():
            break
        with _lock(work, stage, wait=False) as mine:
            if not mine or _done(work, stage).exists():
                continue
            kinds = (TEXT,) if stage == "base" else (TEXT, *KINDS)
            with _lock(work, "text" if stage == "base" else "latents", wait=True):
                encode(work, pipe, config, kinds)
            lessons = Lessons(pipe, load(work, config, kinds), config)
            run = train_stage(stage, work, lessons, compiled=compiled)
            temporary = _done(work, stage).with_suffix(".new")
            save_file({k: v.contiguous() for k, v in run.averaged.items()}, temporary)
            temporary.replace(_done(work, stage))
            return True
    return False


def restore(weights: Path, work: Path, config: Config = PHANTOMS) -> list[str]:
    """Lay what :func:`export` wrote into a work folder, as far as that lacks it; the stages laid.

    Training then goes on from there. What an export does not hold starts anew: the optimizers'
    momentum, and the random numbers of noise. The running average stands for the weights.

    Raises:
        FileNotFoundError: when there is no exported model in ``weights``.
    """
    told = {path.parent.name: json.loads(path.read_text())
            for path in sorted(weights.glob("*/fluxlens.json"))}  # fmt: skip
    whole = next((weights / name for name, facts in told.items() if "base" not in facts), None)
    if whole is None:
        raise FileNotFoundError(f"{weights} holds no model that `--export` wrote")
    with _lock(work, "words", wait=True):
        if not (work / "text_encoder").exists():
            AutoTokenizer.from_pretrained(whole / "tokenizer").save_pretrained(work / "tokenizer")
            words = Qwen3ForCausalLM.from_pretrained(whole / "text_encoder").float()
            words.save_pretrained(work / "text_encoder")
    inverse = torch.linalg.inv(Lessons(parts(work, config), {}, config).whitening.double())
    laid = []
    for name, facts in told.items():
        if name not in config["stages"] or (work / f"{name}.pt").exists():
            continue
        model = Flux2Transformer2DModel.from_pretrained(weights / name / "transformer").float()
        embedder = model.context_embedder.weight
        embedder.data = (embedder.data.double() @ inverse).float()
        step = facts["steps"][name]
        torch.manual_seed(facts["seed"] + step)
        state = {
            "model": model.state_dict(),
            "averaged": model.state_dict(),
            "optimizers": None,
            "step": step,
            "since": step,
            "seconds": 0.0,
            "rng": torch.get_rng_state(),
        }
        torch.save(state, work / f"{name}.tmp")
        (work / f"{name}.tmp").replace(work / f"{name}.pt")
        if step == stage_steps(name, config):
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, _done(work, name))
        laid.append(name)
    return laid


def status(work: Path = WORK, config: Config = PHANTOMS) -> pd.DataFrame:
    """Where every stage stands: its step of all, seconds a step, the last losses, its end.

    The end is what is expected of a stage that is being trained, at the rate of its last steps;
    stages are not trained while nobody has them.
    """
    rows = []
    for stage in config["stages"]:
        total, log = stage_steps(stage, config), work / f"{stage}.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        row: dict[str, object] = {"stage": stage, "step": 0, "of": total, "state": "not begun"}
        if lines:
            last, before = lines[-1], lines[max(0, len(lines) - 6)]
            rate = last["seconds"] / last["step"]
            if last["step"] > before["step"]:
                rate = (last["seconds"] - before["seconds"]) / (last["step"] - before["step"])
            losses = {k: v for k, v in last.items() if k not in ("step", "seconds")}
            row |= {"step": last["step"], "hours": last["seconds"] / 3600, "s/step": rate} | losses
            with _lock(work, stage, wait=False) as idle:
                row["state"] = "stopped" if idle else "training"
            if _done(work, stage).exists():
                row["state"] = "done"
            elif row["state"] == "training":
                left = timedelta(seconds=rate * (total - last["step"]))
                row["end"] = (datetime.now() + left).strftime("%d %b %H:%M")
        rows.append(row)
    return pd.DataFrame(rows).set_index("stage")


def export(
    work: Path,
    target: Path,
    stages: Sequence[str] | None = None,
    config: Config = PHANTOMS,
) -> list[Path]:
    """Write stages as folders that load, in float16, from wherever their training stands.

    The first one is a complete pipeline; the others hold a transformer and name the first as their
    base. By default these are all stages but the base of which there is a state.

    Raises:
        FileNotFoundError: when there is nothing to write.
    """
    all_of_them = [s for s in config["stages"] if s != "base"]
    names = [s for s in stages or all_of_them if (work / f"{s}.pt").exists()]
    if not names:
        raise FileNotFoundError(f"{work} has no state of {', '.join(stages or all_of_them)}")
    pipe = parts(work, config)
    whitening = Lessons(pipe, {}, config).whitening
    for name in names:
        state = torch.load(work / f"{name}.pt", weights_only=True)
        weights = state["averaged"]
        # It has learned from whitened embeddings; from here on it whitens them itself.
        weights["context_embedder.weight"] = weights["context_embedder.weight"] @ whitening
        pipe.transformer.load_state_dict(weights)
        pipe.to(torch.float16)
        folder = target / name
        if name == names[0]:
            pipe.save_pretrained(folder)
        else:
            pipe.transformer.save_pretrained(folder / "transformer")
        told = config["stages"][name]
        steps = {"base": stage_steps("base", config)} if name != "base" else {}
        facts = {
            "name": name,
            "wiring": told.get("wiring", name),
            "routes": config["wirings"].get(told.get("wiring"), {}),
            "max_sequence_length": config["text"]["max_sequence_length"],
            "text_layers": config["text"]["out_layers"],
            "default_size": 96,
            "seed": config["seed"] + told["seed"],
            "steps": {"text": config["text"]["steps"]} | steps | {name: state["step"]},
            "versions": {p: version(p) for p in ("torch", "diffusers", "transformers")}
            | {"python": platform.python_version()},
        }
        if name != names[0]:
            facts["base"] = f"../{names[0]}"
        (folder / "fluxlens.json").write_text(json.dumps(facts, indent=2) + "\n")
        for part in folder.glob("*/config.json"):  # where it was loaded from is this machine's
            told = json.loads(part.read_text())
            told.pop("_name_or_path", None)
            part.write_text(json.dumps(told, indent=2) + "\n")
    return [target / name for name in names]
