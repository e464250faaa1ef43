"""From a work folder to a folder that loads like a model of the hub.

>>> export(WORK, Path("weights"))
"""

import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file

from fluxlens.mini.architecture import CONFIG
from fluxlens.mini.resume import NAMES
from fluxlens.mini.train import parts

WEIGHTS = Path(__file__).parent / "weights"

__all__ = ["NAMES", "WEIGHTS", "export"]


def export(work: Path, target: Path = WEIGHTS) -> None:
    """Write ``mini`` (a complete pipeline) and ``mini-direct`` (its transformer) in float16.

    Whatever ``target`` held is replaced only once everything is written.
    """
    new = target.with_name(target.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    pipe = parts(work)
    for stage, name in NAMES.items():
        folder = new / name
        pipe.transformer.load_state_dict(load_file(work / f"{stage}.safetensors"))
        pipe.to(torch.float16)
        if stage == "bound":
            pipe.save_pretrained(folder)
        else:
            pipe.transformer.save_pretrained(folder / "transformer")
        facts = {
            "name": name,
            "wiring": stage,
            "max_sequence_length": CONFIG["text"]["max_sequence_length"],
            "text_layers": CONFIG["text"]["out_layers"],
            "default_size": 96,
            "seed": CONFIG["seed"],
            "steps": {s: _steps(work, s) for s in ("vae", "text", "base", stage)},
            "versions": {p: version(p) for p in ("torch", "diffusers", "transformers")}
            | {"python": platform.python_version()},
        }
        if stage != "bound":
            facts["base"] = f"../{NAMES['bound']}"
        (folder / "fluxlens.json").write_text(json.dumps(facts, indent=2) + "\n")
    for config in new.glob("*/*/config.json"):  # where a part was loaded from is this machine's
        told = json.loads(config.read_text())
        told.pop("_name_or_path", None)
        config.write_text(json.dumps(told, indent=2) + "\n")
    for log in (*work.glob("*.jsonl"), *work.glob("history.md")):
        shutil.copy(log, new / log.name)
    shutil.rmtree(target, ignore_errors=True)
    new.replace(target)


def _steps(work: Path, stage: str) -> int:
    return int(json.loads((work / f"{stage}.jsonl").read_text().splitlines()[-1])["step"])
