"""Muon: momentum made orthogonal, for the matrices inside a decoder (Jordan et al. 2024).

Half the steps that AdamW takes to bring a slim decoder back (reports/LOG.md). torch has a Muon
too, but it multiplies in bf16, which a processor without bf16 does ten times slower than FP32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration: steep at zero, so that five rounds are enough."""
ROUNDS = 5
EVERY = 2
"""Steps for each move. Momentum turns slowly, and making it orthogonal is a third of a step's work:
a move twice as far every other step ends at the same loss (reports/LOG.md)."""
LIKE_ADAM = 0.2
"""Root mean square of AdamW's usual update (Liu et al. 2025), so that rates mean the same."""


class Muon(torch.optim.Optimizer):
    """For matrices [out, in] alone. Every direction of the momentum moves the matrix as far.

    All gradients go into the momentum; a matrix moves at the first step and then every `EVERY`.
    """

    def __init__(
        self, params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-2, momentum: float = 0.95, weight_decay: float = 0.01,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take every gradient there is, and move if it is time; returns what ``closure`` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._move(matrix, matrix.grad, group)
        return loss

    def _move(self, matrix: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum"], state["step"] = torch.zeros_like(matrix), torch.zeros(())
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        due = int(state["step"]) % EVERY == 0
        state["step"] += 1
        if not due:
            return
        update = orthogonal(gradient.lerp(state["momentum"], group["momentum"]))  # Nesterov's way
        rate = EVERY * group["lr"]
        matrix.mul_(1 - rate * group["weight_decay"])
        matrix.sub_(update, alpha=rate * LIKE_ADAM * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """[out, in] with the same singular vectors, and all but tiny singular values near one.

    By Newton and Schulz: a polynomial of X X^T, several times, instead of a decomposition.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.float().T if tall else matrix.float()
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
