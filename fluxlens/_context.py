"""What all interventions share: the watch on the running pipeline, firing counts, clean exits."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._folder import ModelError
from .layout import Layout, from_call, text_tokens

if TYPE_CHECKING:
    from ._starts import Starts
    from .models import Flux


class FiringError(RuntimeError):
    """An intervention did not act as often as its blocks and steps promised."""


@dataclass(frozen=True)
class Run:
    """One pass through the denoising steps, of one batch."""

    number: int
    layout: Layout
    rows: tuple[int, ...]  # which rows of the user's call these are
    total: int  # rows in the user's call
    steps: int | None  # None where a bare transformer is called without a schedule
    blocks: tuple[str, ...] = ()  # those that the last step reaches, if it is cut short


def as_numbers(value: int | Iterable[int] | None) -> tuple[int, ...] | None:
    """Steps or rows as a sorted tuple; None stays None, for all of them."""
    if value is None:
        return None
    numbers = tuple(sorted({value} if isinstance(value, int) else set(value)))
    if not numbers or numbers[0] < 0:
        raise ValueError(f"steps and rows count from 0 and cannot be empty; got {value!r}")
    return numbers


class Watch:
    """Knows, while any context is open, which run, step and rows a forward belongs to.

    It listens to `transformer` and to `pipe.encode_prompt`, so a stock `flux.pipe(...)` is seen as
    well as the library's own sampler, which announces its batches.
    """

    def __init__(self, flux: Flux) -> None:
        self.flux = flux
        self.contexts: list[Context] = []
        self.run: Run | None = None
        self.starts: Starts | None = None
        self.step = 0
        self._count = 0
        self._announced = False
        self._prompts: list[str] | None = None
        self._compiled: list[tuple[Any, Any]] = []

    def add(self, context: Context) -> None:
        if not self.contexts:
            self._install()
        self.contexts.append(context)
        self.listen(context.blocks)

    def listen(self, blocks: Sequence[str]) -> None:
        """Run blocks eagerly until the last context closes: compiled ones do not hear hooks."""
        for module in (self.flux.pipe.transformer, *map(self.flux.module, blocks)):
            if module._compiled_call_impl is not None:
                self._compiled.append((module, module._compiled_call_impl))
                module._compiled_call_impl = None

    def remove(self, context: Context) -> None:
        self.contexts.remove(context)
        if not self.contexts:
            while self._compiled:
                module, compiled = self._compiled.pop()
                module._compiled_call_impl = compiled
            self._handle.remove()
            del self.flux.pipe.encode_prompt
            if self._shadowed is not None:
                self.flux.pipe.encode_prompt = self._shadowed
            self.run = None

    def _install(self) -> None:
        pipe = self.flux.pipe
        if hasattr(pipe.transformer, "_orig_mod"):
            raise ModelError(
                "torch.compile(pipe.transformer) hides its blocks, and no intervention would be "
                "heard: use flux.pipe.transformer.compile_repeated_blocks() instead"
            )
        self._handle = pipe.transformer.register_forward_pre_hook(self._before, with_kwargs=True)
        self._shadowed = pipe.__dict__.get("encode_prompt")
        encode = pipe.encode_prompt
        signature = inspect.signature(type(pipe).encode_prompt)

        @functools.wraps(encode)
        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(pipe, *args, **kwargs).arguments
            prompts = given.get("prompt") or ""
            known = given.get("prompt_embeds") is None
            self._prompts = None
            if known:
                self._prompts = [prompts] if isinstance(prompts, str) else list(prompts)
            return encode(*args, **kwargs)

        pipe.encode_prompt = encode_prompt

    @contextmanager
    def batch(self, layout: Layout, **run: Any) -> Iterator[None]:
        """Announce the next run; contexts refuse here what they cannot do, before any work."""
        if self.contexts:
            self._begin(layout, **run)
        self._announced = True
        try:
            yield
        finally:
            self._announced = False

    def apart(self, row: int) -> tuple[Any, ...]:
        """What keeps a row of the coming call from sharing a batch with rows that differ in it."""
        acting = [c for c in self.contexts if c.rows is None or row in c.rows]
        return tuple(context.blocks for context in acting if context.apart)

    def equal_up_to(self, reading: bool = True) -> int:
        """Blocks at the start of the first step in which rows with equal inputs are still equal.

        Contexts that only read end it too, for they expect to hear all rows, unless not `reading`.
        """
        own = sum(len(context._handles) for context in self.contexts) + bool(self.contexts)
        if len(self._hooks()) > own:
            return 0  # somebody else listens, and expects all rows
        if any(self.flux.module(block)._compiled_call_impl for block in self.flux.blocks):
            return 0  # fewer rows would be another shape to compile for
        acting = [context.idle_blocks() for context in self.contexts if reading or context.changes]
        return min(acting, default=len(self.flux.blocks))

    def _hooks(self) -> list[Any]:
        modules = self.flux.pipe.transformer.modules()
        tables = [t for m in modules for t in (m._forward_hooks, m._forward_pre_hooks)]
        return [hook for table in tables for hook in table.values()]

    def _begin(self, layout: Layout, **run: Any) -> None:
        self._count += 1
        self.run = Run(self._count, layout, **run)
        for context in self.contexts:
            context.begin(self.run)

    def _before(self, module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        scheduler = self.flux.pipe.scheduler
        step = scheduler.step_index or 0
        # A stock call or a bare transformer starts a run whenever the steps do not move on.
        if not self._announced and (self.run is None or step != self.step + 1):
            size, length = kwargs["encoder_hidden_states"].shape[:2]
            texts = None
            if self._prompts and size % len(self._prompts) == 0:
                repeat = size // len(self._prompts)
                prompts = [prompt for prompt in self._prompts for _ in range(repeat)]
                texts = tuple(text_tokens(self.flux.pipe.tokenizer, p, length) for p in prompts)
            self._prompts = None
            scheduled = getattr(scheduler, "num_inference_steps", None) is not None
            steps = len(scheduler.timesteps) if scheduled else None
            rows = tuple(range(size))
            self._begin(from_call(kwargs, texts), rows=rows, total=size, steps=steps)
        self.step = step


class Context:
    """Base of capture, patch and knockout: hooks in on entry, out on exit, counted between."""

    kind = "intervention"
    apart = False  # whether rows it acts on differently cannot share a batch
    behind = False  # whether it acts on what comes out of a block, not on what goes in
    changes = True  # whether it changes what it sees

    def __init__(
        self,
        flux: Flux,
        blocks: Sequence[str],
        steps: tuple[int, ...] | None,
        rows: tuple[int, ...] | None,
    ) -> None:
        self.flux = flux
        self.blocks = tuple(blocks)
        self.steps = steps
        self.rows = rows
        self._handles: list[Any] = []
        self._open = False

    def to_json(self, row: int | None = None) -> dict[str, Any]:
        """The intervention as plain data, for a run's record; of one row if it is named."""
        steps = None if self.steps is None else list(self.steps)
        out = {"kind": self.kind, "blocks": list(self.blocks), "steps": steps}
        if row is None:
            out["rows"] = None if self.rows is None else list(self.rows)
        return out

    def attach(self, block: str) -> Any:
        """Register this intervention's hook on one block; returns the handle."""
        raise NotImplementedError

    def prepare(self, run: Run, local: list[int]) -> None:
        """Check a run that begins, for its rows `local`; `ValueError` if it cannot be done."""

    def result(self) -> Any:
        """What `with … as` binds."""
        return self

    def __enter__(self) -> Any:
        if self._open:
            raise RuntimeError(f"this {self.kind} is already open; make another one to nest them")
        self._runs: list[Run] = []
        self._local: list[int] = []
        self._fired: Counter[tuple[int, int, str]] = Counter()
        self.flux.watch.add(self)
        self._open = True
        try:
            for block in self.blocks:
                self._handles.append(self.attach(block))
        except BaseException:
            self._close()
            raise
        return self.result()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._close()
        if kind is None:
            self._check_firings()

    def _close(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.flux.watch.remove(self)
        self._open = False

    def begin(self, run: Run) -> None:
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
        self._local = [n for n, r in enumerate(run.rows) if self.rows is None or r in self.rows]
        if self._local:
            self._runs.append(run)
            self.prepare(run, self._local)

    def idle_blocks(self) -> int:
        """Blocks at the start of the running batch's first step on which this does nothing."""
        if not self._local or (self.steps and self.steps[0] > 0):
            return len(self.flux.blocks)
        if "context" in self.blocks:
            return 0
        return self.flux.blocks.index(self.blocks[0]) + self.behind

    def due(self) -> bool:
        """Whether the running step and rows are this intervention's."""
        step = self.flux.watch.step
        return bool(self._local) and (self.steps is None or step in self.steps)

    def count(self, block: str) -> None:
        run = self.flux.watch.run
        assert run is not None
        self._fired[run.number, self.flux.watch.step, block] += 1

    def _check_firings(self) -> None:
        name = f"{self.kind} at {', '.join(self.blocks)}"
        if not self._fired:
            raise FiringError(
                f"{name} never fired: nothing was run inside the `with`, or it ran on another "
                "pipeline than flux.pipe"
            )
        missing, promised = [], 0
        for run in self._runs:
            seen = max((s + 1 for n, s, _ in self._fired if n == run.number), default=1)
            steps = self.steps or range(run.steps or seen)
            for step in steps:
                cut_short = run.blocks and run.steps == step + 1
                for block in self.blocks:
                    if cut_short and block not in ("context", *run.blocks):
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
        ran = {row for run in self._runs for row in run.rows}
        if self.rows and not ran.issuperset(self.rows):
            raise FiringError(f"{name} never saw row(s) {sorted(set(self.rows) - ran)}")
