"""Training that can stop anywhere: one state file, written atomically, and a log beside it.

>>> run = Run(Path(tempfile.mkdtemp()), "vae", model=nn.Linear(2, 2), optimizers=[])
>>> run.step
0
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

__all__ = ["Run"]


class Run:
    """One stage of training: where it stands, its averaged weights, its state file and its log.

    ``folder/<stage>.pt`` holds everything that the next step depends on; ``folder/<stage>.jsonl``
    has one line of figures every ``log_every`` steps. A stage that is started again goes on from
    its last state, the log cut back to it. ``average`` is the decay of the running average of the
    weights, which is what is kept at the end. ``since`` is the step at which the optimizers were
    new: 0, or later where exported weights were gone on from.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        *,
        average: float = 0.999,
        save_every: int = 200,
        log_every: int = 20,
    ) -> None:
        self.folder, self.stage, self.model, self.optimizers = folder, stage, model, optimizers
        self.decay, self.save_every, self.log_every = average, save_every, log_every
        self.step, self.since, self.seconds = 0, 0, 0.0
        self.averaged = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self._recent: dict[str, list[float]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self._load()

    @property
    def path(self) -> Path:
        return self.folder / f"{self.stage}.pt"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.stage}.jsonl"

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged = state["averaged"]
        if state["optimizers"] is not None:
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        self.step, self.since, self.seconds = (state[k] for k in ("step", "since", "seconds"))
        torch.set_rng_state(state["rng"])
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= self.step]
        self.log.write_text("".join(line + "\n" for line in kept))

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "since": self.since,
            "seconds": self.seconds,
            "rng": torch.get_rng_state(),
        }
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, self.path)

    def steps(self, total: int) -> Iterator[int]:
        """The steps still to do; after each one the average, the log and the state are kept."""
        with tqdm(total=total, initial=self.step, desc=self.stage, mininterval=5) as bar:
            while self.step < total:
                begin = time.perf_counter()
                yield self.step
                self.step += 1
                self._average()
                self.seconds += time.perf_counter() - begin
                if self.step % self.log_every == 0 or self.step == total:
                    self._write_log()
                if self.step % self.save_every == 0 or self.step == total:
                    self.save()
                bar.update()

    def report(self, **figures: float) -> None:
        """Figures of this step; the log shows their mean since its last line."""
        for name, value in figures.items():
            self._recent.setdefault(name, []).append(value)

    def _write_log(self) -> None:
        means = {k: round(sum(v) / len(v), 5) for k, v in self._recent.items()}
        line = {"step": self.step, "seconds": round(self.seconds, 1)} | means
        self._recent = {}
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @torch.no_grad()
    def _average(self) -> None:
        # Early on, an average over the few steps there are.
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - decay)
            else:
                self.averaged[name].copy_(value)
