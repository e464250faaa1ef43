"""`fluxlens judge` on the command line: a study's pictures become verdicts.

```sh
fluxlens judge --model mini --judge oracle --concurrency 2
fluxlens judge --model klein-9b --judge claude --batch --budget 150
```
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxlens.commands.claude import PAPERS_JUDGE, add_claude, asking, stoppable
from fluxlens.commands.study import add_part

if TYPE_CHECKING:
    from fluxlens.judge import Images, Judge, Question, Tally

    Work = dict[Question, Mapping[str, Images]]

__all__ = ["add_pictures", "model_of", "register"]


def _judge(args: argparse.Namespace) -> None:
    from fluxlens.judge import run_judge

    _check(args)
    work, missing = _work(args)
    if not any(work.values()):
        raise ValueError(
            f"there are no pictures to judge in {model_of(args)}; "
            f"`fluxlens run --model {args.model}` makes them"
        )
    with _made(args) as judge, stoppable():
        tally = run_judge(
            judge,
            list(work),
            {question.name: items for question, items in work.items()},
            model_of(args),
            concurrency=_threads(args),
            batch=args.batch,
            poll=args.poll,
            progress=None if args.progress else False,
        )
    _report(tally, missing, model_of(args) / "verdicts")


def _check(args: argparse.Namespace) -> None:
    """What cannot go together, before any work."""
    from fluxlens.study.world import world_of

    args.world = args.world or world_of(args.model)
    kind = args.judge.partition(":")[0]
    if kind not in ("oracle", "claude", "local") or (kind == "local") != (":" in args.judge):
        raise ValueError(f"the judges are oracle, claude and local:MODEL, not {args.judge!r}")
    if kind == "oracle" and args.world != "mini":
        raise ValueError("the oracle reads pictures of mini's world alone; try --judge claude")
    if kind != "claude":
        for option in ("batch", "budget"):
            if getattr(args, option):
                raise ValueError(f"--{option} is for --judge claude; {args.judge} costs nothing")
    for option in ("concurrency", "limit"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ValueError(f"--{option} must be at least 1, not {value}")


def model_of(args: argparse.Namespace) -> Path:
    """The folder of the model's pictures and verdicts."""
    from fluxlens.study.paths import model_folder

    return model_folder(args.results, args.model)


def _work(args: argparse.Namespace) -> tuple[Work, int]:
    """The chosen questions with what can be asked now, and how much cannot: pictures not made."""
    from fluxlens.judge import NULL, load_questions
    from fluxlens.study.asked import questions_of
    from fluxlens.study.cells import choose
    from fluxlens.study.paths import judged, nulls
    from fluxlens.tasks import Assets

    data = Assets.from_environment(args.paper_data).data
    known, folder = load_questions(args.set), model_of(args)
    every: Work = {}
    samples: dict[Question, int | None] = {}
    for need in choose(args.questions, args.family, args.recipe, args.extras):
        # whichever entities the study took as its sample, in the order in which it took them
        for one in questions_of(replace(need, sample=need.sample and sys.maxsize)):
            question = one.question(args.set)
            every[question] = one.items(folder, args.world, data)
            samples[question] = need.sample
        if need.why not in known:
            continue
        question = known[need.why]
        every[question] = judged(folder, question, args.world, data)
        if args.nulls:
            null = replace(question, name=question.name + NULL)
            every[null] = nulls(folder, question, args.world, data)

    def there(images: Images) -> bool:
        return all(Path(str(picture)).exists() for picture in images.values())

    work: Work = {}
    missing = 0
    for question, items in every.items():
        made = [(id, images) for id, images in items.items() if there(images)]
        most = [len(items), samples.get(question), args.limit]
        wanted = min(count for count in most if count is not None)
        work[question] = dict(made[:wanted])
        missing += max(0, wanted - len(work[question]))
    return work, missing


@contextmanager
def _made(args: argparse.Namespace) -> Iterator[Judge]:
    """The judge that these options mean."""
    kind, _, name = args.judge.partition(":")
    if kind == "local":
        from fluxlens.judge import LocalJudge

        yield LocalJudge(name)
    elif kind == "oracle":
        from fluxlens.oracle import OracleJudge

        with OracleJudge(_workers(args)) as oracle:
            yield oracle
    else:

        def make() -> AbstractContextManager[Judge]:
            from fluxlens.judge import Budget, ClaudeJudge

            return ClaudeJudge(args.claude_model, budget=Budget(args.budget))

        with asking(make) as claude:
            yield claude


def _workers(args: argparse.Namespace) -> int:
    """How many questions are answered at once: the paper asked Claude ten at a time."""
    usual = {"oracle": os.cpu_count() or 1, "claude": 10}
    return args.concurrency or usual.get(args.judge, 1)


def _threads(args: argparse.Namespace) -> int:
    """Two for each of the oracle's processes, so that none waits for the other's work."""
    workers = _workers(args)
    return 2 * workers if args.judge == "oracle" and workers > 1 else workers


def _report(tally: Tally, missing: int, verdicts: Path) -> None:
    print(
        f"{tally.judged} judged now ({tally.passed} passed), {tally.skipped} before, "
        f"{tally.failed} failed, ${tally.cost:.2f}: {verdicts}"
    )
    if missing:
        print(f"fluxlens: {missing} more have pictures that are not made yet", file=sys.stderr)
    if tally.stopped:
        raise ValueError(f"not everything was judged: {tally.stopped}")
    if tally.failed:
        raise ValueError(
            f"{tally.failed} have no verdict, the files say why; run it again to try them anew"
        )


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Options that say which pictures and which questions are meant."""
    parser.add_argument(
        "--model", default="mini", help="whose pictures, as `fluxlens run` named it (default: mini)"
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="(default: results)"
    )
    parser.add_argument(
        "--questions",
        nargs="+",
        metavar="NAME",
        help="questions by name, or globs: 'ko_color_*' (default: all 28)",
    )
    add_part(parser)


def register(commands: Any) -> None:
    """Add the command to the parser of `fluxlens`."""
    parser = commands.add_parser(
        "judge",
        help="answer the study's questions about its pictures",
        description="Judges every picture that `fluxlens run` has made and writes the verdicts to "
        "results/<model>/verdicts/<judge>/<question>.csv, which `fluxlens tables` reads. Stop it "
        "whenever you like and run it again: what has its verdict is not asked again. Exit code 0: "
        "every picture there is has its verdict.",
    )
    add_pictures(parser)
    parser.add_argument(
        "--judge",
        default="oracle",
        metavar="NAME",
        help="oracle (mini's pictures, from pixels, costs nothing); claude (needs "
        "ANTHROPIC_API_KEY); local:MODEL, an image-text-to-text model of transformers by its hub "
        "id or folder (default: oracle)",
    )
    parser.add_argument(
        "--set",
        choices=("paper", "blind"),
        default="paper",
        help="the paper's questions, or ours that do not tell what was done (default: paper)",
    )
    parser.add_argument(
        "--nulls",
        action="store_true",
        help="null controls too: the same questions where nothing was done",
    )
    parser.add_argument(
        "--extras",
        nargs="+",
        choices=("variants", "controls"),
        default=(),
        help="what `fluxlens run` made under these names too, by the questions of their siblings "
        "in the tables",
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="only the first N tasks or pairs of each question that have their pictures",
    )
    add_claude(
        parser,
        "10 for claude; for the oracle as many processes as there are processors; 1 for a local "
        "model",
        PAPERS_JUDGE,
    )
    parser.add_argument(
        "--batch", action="store_true", help="Claude's Message Batches: half the price, in a day"
    )
    parser.add_argument(
        "--poll",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="between looks at a batch under way (default: 60)",
    )
    parser.set_defaults(run=_judge)
