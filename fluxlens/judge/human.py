"""A person as a judge: a random sample of the study, labelled blind in a notebook.

>>> judge = HumanJudge(load_questions("blind").values(), items, "results/mini", sample=50, seed=0)
>>> judge.panel()  # pictures, the question, and buttons for yes, no and skip

Whoever labels sees numbered pictures and a question, in an order that the seed shuffles, but no
task's name and nothing of what was done. The verdicts are files like any other judge's, so that
``fluxlens tables --verdicts results/mini/verdicts/human-blind --against …`` says how far a judge
agrees with a person (Appendix E has none).
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from fluxlens.judge.base import Picture, Request, Verdict
from fluxlens.judge.image_payload import changed, fingerprint, opened
from fluxlens.judge.questions import Question
from fluxlens.judge.run import Items
from fluxlens.judge.verdicts import VerdictFile, belongs, read_verdict_file, verdict_path
from fluxlens.optional import optional

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["HumanJudge"]

WIDTH = 240  # pixels of a picture on the panel


class HumanJudge:
    """A random sample of questions about entities, and what a person says to each.

    The same seed and items make the same sample, so a session can be left and gone on with: what is
    answered is not asked again. ``name`` is the folder of the verdicts; give each person their own.
    """

    def __init__(
        self,
        questions: Iterable[Question],
        items: Items,
        results: Path | str,
        *,
        sample: int = 50,
        seed: int = 0,
        name: str = "human",
    ) -> None:
        if sample < 1:
            raise ValueError(f"a sample has at least 1 question, not {sample}")
        self.name, self.results = name, Path(results)
        every = [
            Request(entity_id, question, images)
            for question in questions
            for entity_id, images in _items(items, question).items()
        ]
        if not every:
            raise ValueError("there is nothing to label: no items for these questions")
        chosen = random.Random(seed).sample(every, min(sample, len(every)))
        self.total = len(chosen)
        answers = {q: read_verdict_file(self._path(q)) for q in {r.question for r in chosen}}

        def answered(request: Request) -> bool:
            seen = [picture for _, picture in request.labelled()]
            before = answers[request.question].get(request.entity_id)
            return belongs(before, request.pictures, changed(seen))

        self._todo = [request for request in map(_known, chosen) if not answered(request)]

    def _path(self, question: Question) -> Path:
        return verdict_path(self.results, self.name, question)

    @property
    def left(self) -> int:
        """How many of the sample are not answered yet."""
        return len(self._todo)

    @property
    def current(self) -> Request | None:
        """What is asked now; None when all is answered."""
        return self._todo[0] if self._todo else None

    def answer(self, passed: bool, reason: str = "") -> None:
        """Write down an answer to what is asked now, and go on to the next."""
        request = self.current
        if request is None:
            raise ValueError("everything in the sample is answered")
        with VerdictFile(self._path(request.question), request.question) as file:
            file.add(request.entity_id, Verdict(passed, reason, self.name), request.pictures)
        del self._todo[0]

    def skip(self) -> None:
        """Put what is asked now behind all the others."""
        self._todo = self._todo[1:] + self._todo[:1]

    def panel(self) -> ipywidgets.VBox:
        """The panel, for a notebook with a kernel (``pip install 'fluxlens[lab]'``)."""
        with optional("lab", "panels of a human judge"):
            import ipywidgets

        where, pictures = ipywidgets.HTML(), ipywidgets.HBox()
        asked = ipywidgets.HTML()
        reason = ipywidgets.Text(placeholder="why, in a few words (may stay empty)")
        yes, no, skip = (ipywidgets.Button(description=word) for word in ("Yes", "No", "Skip"))

        def show() -> None:
            request = self.current
            where.value = f"<p>{self.total - self.left} of {self.total} answered</p>"
            for button in (yes, no, skip):
                button.disabled = request is None
            reason.value = ""
            if request is None:
                pictures.children, asked.value = (), "<p>Thank you, that was the last one.</p>"
                return
            pictures.children = tuple(_labelled(*pair) for pair in request.labelled())
            asked.value = f"<p><strong>{request.question.text}</strong></p>"

        def answered(passed: bool) -> None:
            self.answer(passed, reason.value)
            show()

        def skipped(_: Any) -> None:
            self.skip()
            show()

        yes.on_click(lambda _: answered(True))
        no.on_click(lambda _: answered(False))
        skip.on_click(skipped)
        show()
        return ipywidgets.VBox([where, pictures, asked, reason, ipywidgets.HBox([yes, no, skip])])


def _known(request: Request) -> Request:
    """The same with its pictures' fingerprint."""
    return replace(request, pictures=fingerprint(picture for _, picture in request.labelled()))


def _items(items: Items, question: Question) -> Any:
    return items(question) if callable(items) else items.get(question.name, {})


def _labelled(label: str, picture: Picture) -> ipywidgets.VBox:
    import ipywidgets

    image = ipywidgets.Image(value=_png(picture), format="png", width=WIDTH)
    return ipywidgets.VBox([ipywidgets.Label(label), image])


def _png(picture: Picture) -> bytes:
    """A picture's pixels and nothing else: a file's record says what was done to it."""
    image = opened(picture).convert("RGB")
    bare = Image.new("RGB", image.size)
    bare.paste(image)
    data = io.BytesIO()
    bare.save(data, "PNG")
    return data.getvalue()
