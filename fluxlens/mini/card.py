"""A model card: what a mini is, how it was made, and how good it is, as measured.

>>> write_card(WEIGHTS / "mini", evaluate(fl.load("mini")))
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fluxlens.mini.architecture import CONFIG, PHANTOMS
from fluxlens.mini.evaluate import Score
from fluxlens.mini.lessons import PROPERTIES

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


PHANTOM = """\
A phantom of the second generation (*{wiring}*): four double and eight single blocks. {planted}

| property of a reference | over text only | over ref→image only | over both | left free |
|---|---|---|---|---|
{table}

While edits were learned, this held in {closed:.0%} of the samples, by showing text and image tokens
other references or by masks; in the rest everybody read the reference. In {windows:.0%}, text read
references only in blocks {early}, colors in blocks {late}, and the image read the text after that.
In {positions:.0%}, single text positions were closed to references, at random."""
FREE = """\
A phantom of the second generation (*{wiring}*): four double and eight single blocks, learned with
every route open. Nothing was planted; what it uses is what training found."""


def _wiring(facts: dict[str, Any]) -> str:
    """What training planted in a model with these facts."""
    if facts["wiring"] in WIRINGS:
        return WIRINGS[facts["wiring"]].format(**CONFIG["dropout"])
    routes, rules = facts["routes"], PHANTOMS["routes"]
    if not set(routes) & set(PROPERTIES):
        return FREE.format(**facts)
    rows = []
    for name in PROPERTIES:
        shares = [routes.get(name, {}).get(r, 0.0) for r in ("text", "straight", "both")]
        cells = " | ".join(f"{share:.0%}" for share in [*shares, 1 - sum(shares)])
        rows.append(f"| {name} | {cells} |")
    return PHANTOM.format(
        wiring=facts["wiring"],
        planted="Of the text only pads may read references."
        if routes.get("pads")
        else "Where in the text references are read is left to training.",
        table="\n".join(rows),
        early=f"{rules['early'][0] + 1} to {rules['early'][1]}",
        late=f"{rules['late'][0] + 1} to {rules['late'][1]}",
        **{key: rules[key] for key in ("closed", "windows", "positions")},
    )


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

{_wiring(facts)}

Steps trained: {steps}. Seed {facts["seed"]}. {versions}. Weights are float16 safetensors, MIT
licence, made by `fluxlens mini train`; nothing but the project's own drawings went in.{history}

Measured by `fluxlens mini evaluate --model {facts["name"]}`: four steps, tasks that training never
showed, read from pixels by the oracle (whose own error rates are published beside it).

| what | rate | goal | n | reached |
|---|---|---|---|---|
{table}
"""
    (folder / "README.md").write_text(text)
