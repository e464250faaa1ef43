"""Muon: momentum whose steps are made orthogonal, for the transformer's matrices.

>>> layer = torch.nn.Linear(8, 4, bias=False)
>>> optimizer = Muon([layer.weight], lr=1e-3)

The same rule as ``torch.optim.Muon`` (Jordan et al., 2024; step size matched to AdamW's as by Liu
et al., 2025), in float32 and with equal shapes orthogonalised together: torch's version works in
bfloat16, which processors without bfloat16 units run a hundred times slower.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["Muon"]


def _orthogonal(matrices: Tensor) -> Tensor:
    """Five Newton-Schulz steps towards the nearest orthogonal matrices, (batch, m, n), m <= n."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum (0.95), orthogonalised, for matrices and (flattened) kernels."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            same: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    same[len(p), p[0].numel()].append(p)
            for (m, n), params in same.items():
                updates = []
                for p in params:
                    assert p.grad is not None
                    state = self.state[p]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                    update = p.grad.lerp(state["momentum"], group["momentum"])
                    updates.append(update.reshape(m, n))
                stack = torch.stack(updates)
                stack = _orthogonal(stack) if m <= n else _orthogonal(stack.mT).mT
                rate = group["lr"] * 0.2 * max(m, n) ** 0.5
                for p, update in zip(params, stack, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(
                        update.reshape(p.shape), alpha=rate
                    )
