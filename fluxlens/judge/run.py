"""A judge let loose on a study: every question of every entity, judged once or recorded as failed.

>>> items = {"i2i_unc_color_text_lens": {"solid_red_mug_s0": {
...     "reference": Path("red.png"), "t2i": Path("t2i.png"), "lens": Path("lens.png")}}}
>>> questions = [load_questions()["i2i_unc_color_text_lens"]]
>>> run_judge(ClaudeJudge(budget=Budget(5.0)), questions, items, "results/klein-9b", concurrency=10)
Tally(judged=1, passed=1, failed=0, skipped=0, cost=0.0221, stopped='')

Run it again and it goes on where it was: what has its verdict on the pictures that are there now is
skipped, what failed is tried anew. The questions about one entity that begin with the same pictures
(Section 4.4's three variants, say) are asked one after another, so that a judge with a prompt cache
reads them once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fluxlens.judge.base import BatchJudge, Images, Judge, JudgeStopped, Request, Verdict
from fluxlens.judge.batches import BatchState, Key, run_batches
from fluxlens.judge.image_payload import changed, check, fingerprint
from fluxlens.judge.parse_reply import redact
from fluxlens.judge.prices import Budget
from fluxlens.judge.questions import Question
from fluxlens.judge.verdicts import VerdictFile, spent, verdict_path

__all__ = ["Items", "Tally", "run_judge"]

# The pictures by entity, for each question's name, or as a function of the question.
Items = Mapping[str, Mapping[str, Images]] | Callable[[Question], Mapping[str, Images]]

# So many questions in a row without any answer, and the rest are not asked.
MOST_UNANSWERED = 5


@dataclass
class Tally:
    """What a run came to. ``stopped`` says why not everything was asked, if so."""

    judged: int = 0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    cost: float = 0.0
    stopped: str = ""


def run_judge(
    judge: Judge,
    questions: Iterable[Question],
    items: Items,
    results: Path | str,
    *,
    concurrency: int = 1,
    batch: bool = False,
    poll: float = 60.0,
    progress: bool | None = None,
) -> Tally:
    """Ask a judge every question about every item whose pictures have no verdict yet.

    The verdicts go to ``results/verdicts/<judge>/<question>.csv``. ``batch`` sends Message Batches
    (``poll`` seconds between looks at them), otherwise ``concurrency`` requests are under way at
    once. A judge's ``budget`` counts what these files say was spent before. ``progress``: None
    shows a bar on a terminal only. Five questions in a row that come to no answer at all (an
    overloaded server, a request that is always refused) end the run.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, not {concurrency}")
    if batch and not isinstance(judge, BatchJudge):
        raise ValueError(f"{judge.name} takes no batches")
    chosen = list(questions)
    budget = getattr(judge, "budget", None)
    tally = Tally()
    with ExitStack() as stack:
        files: dict[Key, VerdictFile] = {}
        for question in chosen:
            path = verdict_path(Path(results), judge.name, question)
            file = stack.enter_context(VerdictFile(path, question))
            files[question.set, question.name] = file
        if isinstance(budget, Budget):
            for folder in {file.path.parent for file in files.values()}:
                for path in folder.glob("*.csv"):
                    budget.bring(str(path.resolve()), spent(path))
        groups, total, tally.skipped = _groups(chosen, items, files)
        hidden = None if progress is None else not progress
        bar: tqdm[Any] = tqdm(total=total, unit="verdict", disable=hidden)
        stack.callback(bar.close)
        count = _Counter(tally, bar)
        try:
            if batch:
                assert isinstance(judge, BatchJudge)
                state = Path(results) / "verdicts" / f"{judge.name}.batches.json"
                requests = (r for group in groups for r in _requests(group, files, count, judge))
                run_batches(
                    judge, requests, files, stack.enter_context(BatchState(state)),
                    budget=budget if isinstance(budget, Budget) else Budget(),
                    poll=poll, on_verdict=count,
                )  # fmt: skip
            else:
                _ask_all(judge, groups, files, count, concurrency)
        except JudgeStopped as stop:
            tally.stopped = str(stop)
    return tally


# ---- what there is to do -------------------------------------------------------------------------

# One entity's questions that begin alike, with what is seen and its fingerprint.
Group = list[tuple[str, Question, Images, str]]


def _groups(
    questions: list[Question], items: Items, files: Mapping[Key, VerdictFile]
) -> tuple[list[Group], int, int]:
    """The work, entity by entity; how many questions it is and how many are answered already."""
    groups: dict[tuple[str, str, str, str], Group] = {}
    skipped = 0
    for question in questions:
        given = items(question) if callable(items) else items.get(question.name, {})
        for entity_id, images in given.items():
            seen = [images[role] for role in question.images if role in images]
            pictures = fingerprint(seen)
            file = files[question.set, question.name]
            if file.holds(entity_id, pictures, changed(seen)):
                skipped += 1
                continue
            key = (question.set, question.family, question.recipe, entity_id)
            groups.setdefault(key, []).append((entity_id, question, images, pictures))
    return list(groups.values()), sum(map(len, groups.values())), skipped


def _requests(
    group: Group, files: Mapping[Key, VerdictFile], count: _Counter, judge: Judge
) -> Iterator[Request]:
    """A group's requests. One whose pictures are not there or not whole is recorded as failed."""
    shared = _shared(group)
    for entity_id, question, images, pictures in group:
        try:
            request = Request(entity_id, question, images, shared, pictures)
            for _, picture in request.labelled():
                check(picture)
        except ValueError as error:
            verdict = Verdict(None, "", judge.name, error=str(error)[:500])
            count.add(files[question.set, question.name], entity_id, verdict, pictures)
        else:
            yield request


def _shared(group: Group) -> int:
    """How many pictures, under the same labels, all the questions of a group begin with."""
    if len(group) < 2 or len({question.system for _, question, _, _ in group}) > 1:
        return 0
    starts = [
        [(label, images.get(role)) for label, role in zip(q.labels, q.images, strict=True)]
        for _, q, images, _ in group
    ]
    shared = 0
    for parts in zip(*starts, strict=False):
        if any(part != parts[0] for part in parts[1:]):
            break
        shared += 1
    return shared


# ---- doing it ------------------------------------------------------------------------------------


class _Counter:
    """Verdicts into files, a tally and a bar, from several threads."""

    def __init__(self, tally: Tally, bar: tqdm[Any]) -> None:
        self.tally = tally
        self.bar = bar
        self.lock = threading.Lock()
        self.unanswered = 0  # in a row

    def add(self, file: VerdictFile, entity_id: str, verdict: Verdict, pictures: str) -> None:
        with self.lock:
            file.add(entity_id, verdict, pictures)
            self(verdict)

    def answered(self, file: VerdictFile, request: Request, verdict: Verdict) -> None:
        """Add what a judge said; `JudgeStopped` where it has said nothing too often."""
        self.add(file, request.entity_id, verdict, request.pictures)
        with self.lock:
            silent = verdict.error and not (verdict.input_tokens or verdict.output_tokens)
            self.unanswered = self.unanswered + 1 if silent else 0
            if self.unanswered >= MOST_UNANSWERED:
                raise JudgeStopped(
                    f"{MOST_UNANSWERED} questions in a row had no answer, the last: {verdict.error}"
                )

    def __call__(self, verdict: Verdict) -> None:
        self.tally.cost += verdict.cost
        if verdict.passed is None:
            self.tally.failed += 1
        else:
            self.tally.judged += 1
            self.tally.passed += verdict.passed
        self.bar.update()
        self.bar.set_postfix_str(f"${self.tally.cost:.2f}, {self.tally.failed} failed", False)


def _ask_all(
    judge: Judge, groups: list[Group], files: Mapping[Key, VerdictFile], count: _Counter,
    concurrency: int,
) -> None:  # fmt: skip
    """Ask with so many requests under way at once; stop all when a judge stops."""
    over = threading.Event()

    def ask_group(group: Group) -> None:
        if over.is_set():
            return
        try:
            for request in _requests(group, files, count, judge):
                file = files[request.question.set, request.question.name]
                count.answered(file, request, _ask(judge, request))
                if over.is_set():
                    return
        except BaseException:
            over.set()
            raise

    with ThreadPoolExecutor(concurrency, thread_name_prefix="judge") as pool:
        try:
            for future in [pool.submit(ask_group, group) for group in groups]:
                future.result()
        except BaseException:
            over.set()  # what is under way is waited for: it is paid
            raise


def _ask(judge: Judge, request: Request) -> Verdict:
    """A verdict whatever happens, except where the judge says that it cannot go on."""
    try:
        return judge.ask(request)
    except JudgeStopped:
        raise
    except Exception as error:
        return Verdict(None, "", judge.name, error=redact(f"{type(error).__name__}: {error}")[:500])
