"""Where two judges differ, with the pictures that they saw (Appendix E).

>>> show_disagreements(claude, oracle, question, items, names=("claude", "oracle"))
ko_color_ref_to_text: claude and oracle differ on 2 of 320
...

``claude`` and ``oracle`` are verdicts (`fluxlens.judge.read_verdicts`), ``items`` the pictures as
`fluxlens.judge.run_judge` takes them. Reasons are untrusted text and are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from fluxlens.files import printable
from fluxlens.html import Html, framed, img
from fluxlens.judge import Images, Picture, Question, Verdict, Verdicts, opened
from fluxlens.results import disagreements

__all__ = ["disagreements_page", "show_disagreements"]

LONGEST = 300  # letters of a reason that are shown


def show_disagreements(
    first: Verdicts,
    second: Verdicts,
    question: Question,
    items: Mapping[str, Images],
    *,
    names: tuple[str, str] = ("first", "second"),
    limit: int = 20,
) -> Html:
    """A question's disagreements, at most ``limit`` of them: pictures, answers and reasons."""
    found = disagreements(first, second, question.name)
    both = len(first.get(question.name, {}).keys() & second.get(question.name, {}).keys())
    title = f"{question.name}: {' and '.join(names)} differ on {len(found)} of {both}"
    parts = [f"<h3>{escape(title)}</h3>"]
    lines = [title]
    if found:
        parts.append(f"<p>{escape(question.text)}</p>")
    for entity, pair in list(found.items())[:limit]:
        said = [f"{name}: {_answer(verdict)}" for name, verdict in zip(names, pair, strict=True)]
        pictures = _pictures(question, items.get(entity, {}))
        body = f'<div style="display:flex;flex-wrap:wrap;gap:0.75rem">{pictures}</div>'
        body += "".join(f"<div>{escape(line)}</div>" for line in said)
        parts.append(framed(body, entity, "").html)
        lines.append("; ".join([entity, *said]))
    if len(found) > limit:
        lines.append(f"and {len(found) - limit} more")
        parts.append(f"<p>{escape(lines[-1])}</p>")
    return Html(f'<section class="fluxlens-disagreements">{"".join(parts)}</section>',
                "\n".join(map(printable, lines)))  # fmt: skip


def disagreements_page(parts: list[Html], title: str) -> str:
    """A page of its own around such sections, for a browser without a network."""
    style = "body{font-family:system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    body = "\n".join(part.html for part in parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _answer(verdict: Verdict) -> str:
    reason = verdict.reason if len(verdict.reason) <= LONGEST else f"{verdict.reason[:LONGEST]}…"
    return f"{'yes' if verdict.passed else 'no'}, “{reason}”"


def _pictures(question: Question, images: Images) -> str:
    out = []
    for number, (role, label) in enumerate(zip(question.images, question.labels, strict=True), 1):
        shown = _shown(images.get(role), label)
        out.append(f"<div>{shown}<br>{number}. {escape(role.replace('_', ' '))}</div>")
    return "".join(out)


def _shown(picture: Picture | None, label: str) -> str:
    """A picture, or that it is not on this machine."""
    if picture is None:
        return "(no picture)"
    try:
        return img(opened(picture), label)
    except ValueError:
        return "(no picture)"
