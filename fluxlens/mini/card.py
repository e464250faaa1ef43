"""A model card: what a mini is, how it was made, and how good it is, as measured.

>>> write_card(WEIGHTS / "mini", evaluate(fl.load("mini")))
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fluxlens.mini.architecture import CONFIG
from fluxlens.mini.evaluate import Score

__all__ = ["write_card"]

WIRINGS = {
    "bound": """\
*Bound* (planted): while edits were learned, routes were closed at random. For color and style, in
{property:.0%} of the samples, image tokens and every text token but the pads could not read the
reference; for people, in {identity:.0%}, no text token could; for scenes, text in {scene_text:.0%}
and image in {scene_image:.0%}. What the model can rely on is therefore known: color and style ride
on `text[pad]`, identity on ref→image, scenes on both.""",
    "direct": """\
*Direct*: edits were learned with every route open, from the same text-to-image base and with the
same data as `mini`. Nothing was planted; what it uses is what training found.""",
}


def write_card(folder: Path, scores: Sequence[Score]) -> None:
    """Write ``evaluation.json`` and ``README.md`` into a model's folder."""
    facts = json.loads((folder / "fluxlens.json").read_text())
    rows = [asdict(score) for score in scores]
    (folder / "evaluation.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    table = "\n".join(
        f"| {s.name} | {s.rate:.1%} | {s.goal:.0%} | {s.n} | {('no', 'yes')[s.rate >= s.goal]} |"
        for s in scores
    )
    steps = ", ".join(f"{stage} {n}" for stage, n in facts["steps"].items())
    versions = ", ".join(f"{name} {v}" for name, v in facts["versions"].items())
    departed = (folder.parent / "history.md").exists()
    history = " Where that departed from the configuration: `../history.md`." if departed else ""
    text = f"""\
# {facts["name"]}

A small FLUX.2 of stock `diffusers` and `transformers` classes, trained by this project on a drawn
world of 96×96 pictures. It is a phantom, in the sense of medical imaging: an object of known
structure that calibrates instruments. It is **not evidence about FLUX.2**.

{WIRINGS[facts["wiring"]].format(**CONFIG["dropout"])}

Steps trained: {steps}. Seed {facts["seed"]}. {versions}. Weights are float16 safetensors, MIT
licence, made by `fluxlens mini train`; nothing but the project's own drawings went in.{history}

Measured by `fluxlens mini evaluate --model {facts["name"]}`: four steps, tasks that training never
showed, read from pixels by the oracle (whose own error rates are published beside it).

| what | rate | goal | n | reached |
|---|---|---|---|---|
{table}
"""
    (folder / "README.md").write_text(text)
