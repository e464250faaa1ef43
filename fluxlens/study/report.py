"""A plan and a finished run in words.

>>> print(plan_text(make_plan("mini", choose())))
mini's world: 2875 tasks, 1569 references, 162 prompts
…
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from fluxlens.study.pictures import Picture
from fluxlens.study.plan import Plan
from fluxlens.study.released import released
from fluxlens.study.run import Summary
from fluxlens.study.shapes import model_shape
from fluxlens.study.sizes import Sizes
from fluxlens.study.treatments import Treatment

__all__ = ["plan_json", "plan_text", "summary_text"]


def plan_json(plan: Plan) -> dict[str, Any]:
    """What will run, by recipe and variant, and the judges or extras that need it."""
    groups: dict[Treatment, list[Picture]] = defaultdict(list)
    for picture in plan:
        groups[picture.treatment].append(picture)
    runs = []
    for what, pictures in sorted(groups.items(), key=lambda group: group[0].order):
        families = list(dict.fromkeys(picture.task.family for picture in pictures))
        keys = [(what, family) for family in families]
        runs.append(
            {
                "recipe": what.name,
                "variant": what.variant,
                "families": families,
                "pictures": len(pictures),
                "forwards": plan.sampling.forwards(what.steps) * len(pictures),
                "needed_by": sorted({name for key in keys for name in plan.needs.get(key, ())}),
            }
        )
    readers = [picture for picture in plan if picture.reads_source]
    sources = {picture.origin.task_id for picture in readers}
    return {
        "world": plan.world,
        "tasks": len({task.task_id for picture in plan for task in (picture.task, picture.origin)}),
        "references": len(plan.references),
        "prompts": len(plan.prompts),
        "pictures": plan.pictures,
        "forwards": plan.forwards,
        "sources": len(sources),
        "readers": len(readers),
        "captures": plan.counts().get("capture", (0, 0))[1],
        "left_out": list(plan.left_out),
        "released": _released(plan),
        "runs": runs,
    }


def _released(plan: Plan) -> dict[str, int]:
    """What the authors' drivers would call for the same cells, whatever the model and the sizes."""
    cells = list(released(plan, Sizes("paper", standing_in=True), model_shape("klein-9b")))
    return {
        "calls": sum(cell.calls for cell in cells),
        "forwards": sum(cell.edit_forwards + cell.generation_forwards for cell in cells),
    }


def plan_text(plan: Plan) -> str:
    found = plan_json(plan)
    name = "mini's world" if plan.world == "mini" else "the paper's tasks"
    lines = [
        f"{name}: {found['tasks']:,} tasks, {found['references']:,} references, "
        f"{found['prompts']:,} prompts",
        f"  {'recipe':<19} {'variant':<20} {'pictures':>8} {'forwards':>9}  needed by",
    ]
    for run in found["runs"]:
        names = run["needed_by"]
        why = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        lines.append(
            f"  {run['recipe']:<19} {run['variant']:<20} {run['pictures']:>8,} "
            f"{run['forwards']:>9,}  {why}"
        )
    if found["captures"]:
        lines.append(
            f"  {'capture':<19} {'':<20} {'':>8} {found['captures']:>9,}  lenses and patches "
            "without an edit; ends after its block"
        )
    lines += [
        f"  {'in all':<19} {'':<20} {found['pictures']:>8,} {found['forwards']:>9,}",
        f"  {found['sources']:,} source runs serve {found['readers']:,} lenses and patches; every "
        "baseline is made once, and what is encoded is kept while there is room",
        f"  as the authors' released drivers make these cells: {found['released']['calls']:,} "
        f"calls, {found['released']['forwards']:,} forwards",
    ]
    lines += [f"  {line}" for line in plan.left_out]
    return "\n".join(lines)


def summary_text(summary: Summary) -> str:
    """Where the time of a run went."""
    total = sum(summary.seconds.values())
    lines = [f"{summary.folder}: {summary.made:,} pictures made, {summary.kept:,} were there"]
    for name, seconds in sorted(summary.seconds.items(), key=lambda item: -item[1]):
        forwards = summary.forwards.get(name, 0)
        each = f"{forwards:>8,} forwards, {1000 * seconds / forwards:6.1f} ms" if forwards else ""
        share = f"{seconds / total:6.1%}" if total else ""
        lines.append(f"  {name:<19} {seconds:>9.1f} s {share}  {each}")
    return "\n".join(lines)
