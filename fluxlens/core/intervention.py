"""What every intervention shares: which run, step and rows this is, counted firings, clean exits.

Context: most published bugs of this kind of work are interventions that silently did nothing, or
hooks that stayed behind. Details: one `Watch` a pipeline listens to the transformer and to the
blocks that are named, tells each run by what is called (layout, schedule, step, guidance pass), and
asks the interventions that are open. Intuition: subclass `Intervention`, say what becomes of a
block's rows, and everything else is done: addressing, refusals, counting, leaving.
"""

from __future__ import annotations

import functools
import inspect
import operator
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fluxlens.errors import FiringError

from . import seam
from .layout import Layout, Region, TextTokens
from .model import Model

Rows = Float[Tensor, "rows tokens width"]
_METHODS = ("change", "heads", "edges", "observe", "enter", "leave")
PASSES = {"cond": ("cond",), "uncond": ("uncond",), "both": ("cond", "uncond")}


@dataclass(frozen=True)
class Run:
    """One pass through the denoising steps, of one batch.

    `rows` are those of the user's call that are in this batch, `total` how many that call has.
    `schedule` are the noise levels of its steps; None (and `steps`) where a transformer is called
    without one. `guidance` is ``"uncond"`` for the second forward of each step under true guidance.
    `reached` are the blocks that the last step reaches, if it is cut short.
    """

    number: int
    layout: Layout
    rows: tuple[int, ...]
    total: int
    schedule: tuple[float, ...] | None
    guidance: str = "cond"
    reached: tuple[str, ...] = ()

    @property
    def steps(self) -> int | None:
        """How many steps it has."""
        return None if self.schedule is None else len(self.schedule)


def as_numbers(value: Any, name: str = "steps and rows") -> Any:
    """Steps, rows or heads as a sorted tuple; None stays None, for all of them."""
    if value is None:
        return None
    try:
        single = not isinstance(value, Iterable) or getattr(value, "ndim", None) == 0
        several = [value] if single else value
        numbers = tuple(sorted({operator.index(n) for n in several}))
    except TypeError:
        numbers = ()
    if not numbers or numbers[0] < 0:
        raise ValueError(f"{name} count from 0 and cannot be empty; got {value!r}")
    return numbers


class Intervention:
    """Act on what some blocks make of some tokens, in a ``with`` block; the base of all others.

    ```python
    class Steer(fl.Intervention):
        kind = "steer"

        def __init__(self, editor, block, direction, tokens="text"):
            super().__init__(editor, block, tokens=tokens)
            self.direction = direction

        def change(self, block, rows):          # (rows, tokens, width)
            return rows + self.direction
    ```
    Override one or more of `change` (rows of `tokens` that come out of a block), `heads` (what its
    attention heads give), `edges` (biases on its attention), `enter` (what goes into it), and
    `to_json` if there is more to record. `blocks`, `steps`, `rows` and `passes` (of true guidance:
    ``"cond"``, ``"uncond"`` or ``"both"``) say where and when it acts. Raises `FiringError` on exit
    unless it acted once in each block at each step that it promised.
    """

    kind: ClassVar[str] = "intervention"
    dense = False  # whether attention must be told by a mask

    def __init__(
        self,
        model: Model,
        blocks: str | Iterable[str],
        *,
        tokens: str | Region | None = None,
        steps: int | Iterable[int] | None = None,
        rows: int | Iterable[int] | None = None,
        passes: str = "cond",
    ) -> None:
        if passes not in PASSES:
            raise ValueError(f"passes is one of {', '.join(PASSES)}, not {passes!r}")
        self.model, self.watch = model, Watch.of(model)
        self.blocks = model.select(blocks, extra=("context",))
        self.tokens = None if tokens is None else Region.parse(tokens)
        self.steps, self.rows = as_numbers(steps), as_numbers(rows)
        self.passes = PASSES[passes]
        self._thread: int | None = None
        if not _says(self, *_METHODS):
            raise ValueError(
                f"this {self.kind} overrides none of {', '.join(_METHODS)}: it would do nothing"
            )
        if self.tokens is None and _says(self, "change"):
            raise ValueError(f"name the tokens whose rows this {self.kind} changes: tokens=…")
        if "context" in self.blocks:
            if self.tokens and self.tokens.kind != "text":
                raise ValueError(f"the context embedder holds text only, not {self.tokens}")
            if self.attends:
                raise ValueError("the context embedder has no attention: name blocks")

    # what a subclass says

    def change(self, block: str, rows: Rows) -> Rows | None:
        """Give what is put in the place of `rows`; None leaves them."""
        return None

    def heads(self, block: str, out: seam.Heads) -> seam.Heads | None:
        """Give what is put in the place of the attention's result, before it is projected."""
        return None

    def edges(self, block: str) -> Sequence[seam.Bias]:
        """Give the biases on the block's attention, in the rows of `local`."""
        return ()

    def observe(self, block: str, plan: seam.Plan, query: Any, key: Any, **call: Any) -> None:
        """See a block's queries and keys, and the plan they attend by."""

    def enter(self, block: str, call: dict[str, Any]) -> dict[str, Any] | None:
        """Give what goes into a block instead of `call`, its keyword arguments."""
        return None

    def prepare(self, run: Run) -> None:
        """Check a run that begins, for its rows `local`; `ValueError` if it cannot be done."""
        if self.tokens is not None:
            self._places[run.number] = self.find(run, self.tokens)

    def finish(self) -> None:
        """Complete a result, after a clean exit."""

    def result(self) -> Any:
        """Give what `with … as` binds."""
        return self

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """The intervention as plain data, for a run's record; of one row if it is named."""
        steps = None if self.steps is None else list(self.steps)
        out: dict[str, Any] = {"kind": self.kind, "blocks": list(self.blocks), "steps": steps}
        if row is None:
            out["rows"] = None if self.rows is None else list(self.rows)
        if self.passes != ("cond",):
            out["passes"] = list(self.passes)
        return out if self.tokens is None else {**out, "tokens": str(self.tokens)}

    # where it is

    @property
    def attends(self) -> bool:
        """Whether it acts on attention, or sees it."""
        return _says(self, "heads", "edges", "observe")

    @property
    def run(self) -> Run:
        """The run that a forward belongs to."""
        run = self.watch.now.run
        assert run is not None
        return run

    @property
    def step(self) -> int:
        """The running denoising step."""
        return self.watch.now.step

    @property
    def local(self) -> list[int]:
        """The rows of the running batch that it acts on."""
        return self.among(self.run)

    def among(self, run: Run) -> list[int]:
        """The rows of a run's batch that it acts on."""
        return [n for n, row in enumerate(run.rows) if self.covers(row)]

    def covers(self, row: int) -> bool:
        """Whether it acts on a row of the user's call."""
        return self.rows is None or row in self.rows

    def find(self, run: Run, region: Region) -> list[tuple[Tensor, Tensor]]:
        """Rows and joint positions of a region, as indices; rows with as many tokens together."""
        mask = run.layout.mask(region)
        by_count: dict[int, list[int]] = {}
        for row in self.among(run):
            by_count.setdefault(int(mask[row].sum()), []).append(row)
        return [
            (torch.tensor(rows)[:, None], mask[rows].nonzero()[:, 1].reshape(len(rows), count))
            for count, rows in by_count.items()
        ]

    def part(
        self, block: str, output: Any, region: Region
    ) -> tuple[Tensor, int, Callable[..., Any]]:
        """The tensor of a block's output that holds a region, its first joint position, and how an
        output is made with another tensor in its place."""
        if self.model.returns(block) != "pair":
            return output, 0, lambda tensor: tensor
        if region.kind == "text":
            return output[0], 0, lambda tensor: (tensor, *output[1:])
        return output[1], self.run.layout.text, lambda tensor: (output[0], tensor, *output[2:])

    def leave(self, block: str, output: Any) -> Any:
        """Give what comes out of a block instead of `output`; None leaves it."""
        if self.tokens is None:
            return None
        tensor, start, put = self.part(block, output, self.tokens)
        written = None
        for rows, positions in self._places[self.run.number]:
            index = rows.to(tensor.device), positions.to(tensor.device) - start
            values = tensor[index]
            changed = self.change(block, values)
            if changed is None:
                continue
            if not isinstance(changed, Tensor) or changed.shape != values.shape:
                got = tuple(getattr(changed, "shape", ())) or type(changed).__name__
                raise ValueError(
                    f"this {self.kind} must change rows to a tensor of shape "
                    f"{tuple(values.shape)}, as it got them, not {got}"
                )
            written = tensor.clone() if written is None else written
            written[index] = changed.to(tensor)
        return None if written is None else put(written)

    # entering and leaving

    def __enter__(self) -> Any:
        if self._thread is not None:
            raise RuntimeError(f"this {self.kind} is already open; make another one to nest them")
        self._runs: dict[int, Run] = {}
        self._places: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self._fired: Counter[tuple[int, int, str]] = Counter()
        try:
            self.watch.open(self)
            return self.result()
        except BaseException:
            self.watch.close(self)
            raise

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            self.watch.close(self)
        finally:
            self.watch.close(self)  # an interrupt may have come before the first began
        if kind is None:
            self._check_firings()
            self.finish()

    def begin(self, run: Run) -> None:
        """Refuse a run that this cannot act on, before any work; else take note of it."""
        if run.guidance not in self.passes:
            return
        if self.steps and run.steps is not None and self.steps[-1] >= run.steps:
            raise ValueError(
                f"this {self.kind} asks for step {self.steps[-1]} of a run with {run.steps} "
                f"step(s): steps count from 0 to {run.steps - 1}"
            )
        if self.rows and self.rows[-1] >= run.total:
            raise ValueError(
                f"this {self.kind} asks for row {self.rows[-1]} of a batch of {run.total}: rows "
                f"count from 0 to {run.total - 1}"
            )
        if self.among(run):
            self.prepare(run)
            self._runs[run.number] = run

    def due(self, run: Run, step: int) -> bool:
        """Whether a step of a run is this intervention's."""
        return run.number in self._runs and (self.steps is None or step in self.steps)

    def count(self, block: str) -> None:
        """Take note that it acted on a block."""
        self._fired[self.run.number, self.step, block] += 1

    def _check_firings(self) -> None:
        name = f"{self.kind} at {', '.join(self.blocks)}"
        if not self._fired:
            raise FiringError(
                f"{name} never fired: nothing was run inside the `with`, or in another thread, on "
                f"another pipeline, or without the pass of guidance it waits for "
                f"({', '.join(self.passes)})"
            )
        missing, promised = [], 0
        for run in self._runs.values():
            seen = max((s + 1 for n, s, _ in self._fired if n == run.number), default=1)
            for step in self.steps or range(run.steps or seen):
                cut_short = run.reached and run.steps == step + 1
                for block in self.blocks:
                    if cut_short and block not in ("context", *run.reached):
                        continue
                    promised += 1
                    if self._fired[run.number, step, block] != 1:
                        missing.append(f"{block} at step {step}")
        if missing:
            fired = sum(self._fired.values())
            raise FiringError(
                f"{name} fired {fired} times of {promised}; not once each: "
                f"{', '.join(missing[:4])}{' …' if len(missing) > 4 else ''}. A run was stopped "
                "before its last step or block, or the model was called in another way"
            )
        ran = {row for run in self._runs.values() for row in run.rows}
        if self.rows and not ran.issuperset(self.rows):
            raise FiringError(f"{name} never saw row(s) {sorted(set(self.rows) - ran)}")


@dataclass
class _Now(threading.local):
    """What is running in this thread."""

    run: Run | None = None
    cond: Run | None = None  # the run of the conditional pass
    uncond: Run | None = None  # the same run's second pass under true guidance
    step: int = 0
    time: float = 0.0
    schedule: Any = None  # the scheduler's own tensor: another one is another run
    hidden: Any = None  # what the conditional pass of this step was given: the second gets it too
    expected: Run | None = None  # a run that the sampler has announced
    whole: bool = True  # whether the references are still in the sequence
    acting: dict[str, list[Intervention]] = field(default_factory=dict)
    plans: dict[Any, seam.Plan] = field(default_factory=dict)
    announcements: dict[Any, seam.Announcement] = field(default_factory=dict)
    encoded: list[tuple[Any, list[str] | None, dict[str, Any]]] = field(default_factory=list)


class Watch:
    """Knows, while any intervention is open, which run, step and rows a forward belongs to.

    One a pipeline, whoever opens it: it listens to the transformer and to `pipe.encode_prompt`, so
    a stock ``pipe(…)`` is seen as well as the library's own sampler, which announces its batches.
    An intervention acts on what runs in the thread that opened it, and on nothing else.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.interventions: list[Intervention] = []
        self.now = _Now()
        self._numbers = 0
        self._heard: set[str] = set()
        self._exit = ExitStack()  # what is to be done when the last intervention closes

    @classmethod
    def of(cls, model: Model) -> Watch:
        """The watch of a model's pipeline, whichever editor holds it."""
        known = vars(model.pipe)
        if "_fluxlens_watch" not in known:
            known["_fluxlens_watch"] = cls(model)
        return known["_fluxlens_watch"]

    @property
    def mine(self) -> list[Intervention]:
        """What is open in this thread, first opened first."""
        own = threading.get_ident()
        return [one for one in self.interventions if one._thread == own]

    def open(self, one: Intervention) -> None:
        """Let an intervention act."""
        self.model.check()
        with uninterrupted():
            if not self.mine:
                self.now.__init__()  # type: ignore[misc]
            one._thread = threading.get_ident()
            self.interventions.append(one)
            self._listen("", self.model.transformer)
            for block in one.blocks:
                self._listen(block, self.model.module(block))
            if one.attends:
                self._exit.callback(seam.install(self.model.transformer, self))

    def close(self, one: Intervention) -> None:
        """Let an intervention act no more; with the last one everything is as it was."""
        with uninterrupted():
            if one in self.interventions:
                self.interventions.remove(one)
            one._thread = None
            if not self.interventions:
                self._heard.clear()
                self.now.__init__()  # type: ignore[misc]
                self._exit.close()

    def _listen(self, block: str, module: nn.Module) -> None:
        """Hooks on a module, which runs eagerly from now on: compiled ones do not hear hooks."""
        if block in self._heard:
            return
        if module._compiled_call_impl is not None:
            self._exit.callback(setattr, module, "_compiled_call_impl", module._compiled_call_impl)
            module._compiled_call_impl = None
        if block:
            enter, leave = (functools.partial(f, block) for f in (self._enter, self._leave))
            before = module.register_forward_pre_hook(enter, with_kwargs=True, prepend=True)
            self._exit.callback(before.remove)
            self._exit.callback(module.register_forward_hook(leave, always_call=True).remove)
        else:
            before = module.register_forward_pre_hook(self._forward, with_kwargs=True)
            self._exit.callback(before.remove)
            self._listen_to_prompts()
        self._heard.add(block)

    def _listen_to_prompts(self) -> None:
        pipe = self.model.pipe
        shadowed = vars(pipe).get("encode_prompt")
        encode, signature = pipe.encode_prompt, inspect.signature(type(pipe).encode_prompt)

        @functools.wraps(encode)
        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            out = encode(*args, **kwargs)
            bound = signature.bind(pipe, *args, **kwargs)
            bound.apply_defaults()
            call, prompts = bound.arguments, None
            if call.get("prompt_embeds") is None:
                given = call.get("prompt") or ""
                prompts = given if isinstance(given, list) else [given]
            self.now.encoded = [*self.now.encoded, (out[0], prompts, call)][-4:]
            return out

        def restore() -> None:
            if vars(pipe).get("encode_prompt") is encode_prompt:
                del pipe.encode_prompt
                if shadowed is not None:
                    pipe.encode_prompt = shadowed

        pipe.encode_prompt = encode_prompt
        self._exit.callback(restore)

    # which run this is

    @contextmanager
    def batch(self, layout: Layout, **run: Any) -> Iterator[None]:
        """Announce the next run; interventions refuse here what they cannot do, before any work."""
        if self.mine:
            self.now.expected = self._begin(layout, **run)
        try:
            yield
        finally:
            self.now.expected = None

    def _begin(self, layout: Layout, **run: Any) -> Run:
        self.model.check()
        self._numbers += 1
        begun = Run(self._numbers, layout, **run)
        for one in self.mine:
            one.begin(begun)
        return begun

    def _forward(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        now, mine = self.now, self.mine
        seam.announced.now = None
        if not mine:
            return
        if args:
            kwargs = inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments
        run = self._place(kwargs)
        now.run, now.whole, now.acting = run, True, {}
        for one in mine:
            if one.due(run, now.step):
                for block in one.blocks:
                    now.acting.setdefault(block, []).append(one)

    def _place(self, call: dict[str, Any]) -> Run:
        """Tell the run and step of a transformer call by its schedule, layout and inputs."""
        now, scheduler = self.now, self.model.pipe.scheduler
        times, index = getattr(scheduler, "timesteps", ()), getattr(scheduler, "step_index", 0) or 0
        time, hidden = call["timestep"].flatten()[0], call["hidden_states"]
        time = 0.0 if time.is_meta else float(time)  # operations are counted without numbers
        planned = getattr(scheduler, "num_inference_steps", None) is not None and index < len(times)
        # bfloat16 keeps three digits of a time
        scheduled = planned and abs(float(times[index]) / 1000 - time) <= 0.005
        layout, before, later = self._layout(call), now.cond, time < now.time
        expected, now.expected = now.expected, None
        if expected is not None and layout.without_texts() != expected.layout.without_texts():
            raise RuntimeError(
                f"announced were {expected.layout}, the pipeline runs {layout}: its family's "
                "ref_size, text_of or run do not say what the pipeline does"
            )
        if expected is None and before is not None:
            alike = layout.without_texts() == before.layout.without_texts()
            if scheduled and now.schedule is times and index == now.step and hidden is now.hidden:
                if now.uncond is None or now.uncond.layout != layout:
                    own = {"rows": before.rows, "total": before.total, "schedule": before.schedule}
                    now.uncond = self._begin(layout, guidance="uncond", **own)
                return now.uncond
            goes_on = (
                now.schedule is times and index == now.step + 1
                if scheduled
                else (before.schedule is None and later)
            )
            if goes_on and alike:
                now.step, now.time, now.hidden = now.step + 1, time, hidden
                return before
        now.schedule, now.step, now.time, now.hidden = (
            times,
            index if scheduled else 0,
            time,
            hidden,
        )
        now.uncond, now.plans, now.announcements = None, {}, {}
        if expected is None:
            levels = tuple(float(t) / 1000 for t in times) if scheduled else None
            rows = tuple(range(layout.rows))
            expected = self._begin(layout, rows=rows, total=layout.rows, schedule=levels)
        now.cond = expected
        return expected

    def _layout(self, call: dict[str, Any]) -> Layout:
        adapter = self.model.adapter
        rows, text, image, refs = adapter.shape(call)
        texts: tuple[TextTokens, ...] | None = None
        for made, prompts, how in reversed(self.now.encoded):
            if made is call["encoder_hidden_states"] and prompts and rows % len(prompts) == 0:
                each = [adapter.text_tokens(prompt, text, how) for prompt in prompts]
                texts = tuple(one for one in each for _ in range(rows // len(prompts)))
                break
        return Layout(rows, text, image, refs, texts, adapter.multiple)

    # what happens at a block

    def _enter(self, block: str, module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        acting = self.now.acting.get(block)
        seam.announced.now = None
        if not acting:
            return None
        call = kwargs
        for one in acting:
            changed = one.enter(block, call)
            call = call if changed is None else changed
        if any(one.attends for one in acting):
            seam.announced.now = self._announce(block, acting)
        return None if call is kwargs else (args, call)

    def _announce(self, block: str, acting: Sequence[Intervention]) -> seam.Announcement:
        now = self.now
        run = now.run
        assert run is not None
        key = run.number, now.step, block, now.whole, tuple(map(id, acting))
        if key not in now.announcements:
            layout, biases = run.layout, tuple(b for one in acting for b in one.edges(block))
            if not now.whole:
                layout, biases = seam.shortened(layout, biases)
            content = run.number, now.whole, biases, any(one.dense for one in acting)
            if content not in now.plans:
                now.plans[content] = seam.Plan(layout, biases, content[-1])
            seen = [functools.partial(_see, one, block) for one in acting if one.attends]
            now.announcements[key] = seam.Announcement(now.plans[content], seen)
        now.announcements[key].calls = 0
        return now.announcements[key]

    def _leave(self, block: str, module: Any, args: Any, output: Any) -> Any:
        due, seam.announced.now = seam.announced.now, None
        acting = self.now.acting.get(block)
        if not acting or output is None:  # None: the block raised
            return None
        if due is not None and not due.calls:
            raise seam.silent(block, module)
        out = output
        for one in acting:
            changed = one.leave(block, out)
            out = out if changed is None else changed
            one.count(block)
        return None if out is output else out


def _says(one: Intervention, *names: str) -> bool:
    """Whether a subclass has methods of its own by these names."""
    return any(getattr(type(one), name) is not getattr(Intervention, name) for name in names)


def _see(
    one: Intervention, block: str, plan: seam.Plan, query: Any, key: Any, out: Any, **call: Any
) -> Any:
    one.observe(block, plan, query, key, **call)
    return one.heads(block, out)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C until the block is done, so that nothing is left half undone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[Any] = []
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, lambda *call: waiting.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if waiting:
            before(*waiting[0])
