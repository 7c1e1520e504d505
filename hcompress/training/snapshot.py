"""A trainer's half-way state on disk: weights, optimiser state, step. No pickle.

One safetensors file, replaced atomically. Everything else a run needs to go on exactly as if
it had not stopped follows from the step: batches are cut by index and nothing is drawn at
random while training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from hcompress.strict.atomic import write_bytes

KEY = "hcompress"
Weights = dict[str, Tensor]
"""A model's state."""


@dataclass
class TrainingState:
    """What a snapshot holds besides tensors."""

    step: int = 0
    best_accuracy: float = -1.0
    best_step: int = 0
    """Whose weights are kept."""
    gain_step: int = 0
    """The last that read more than all before: a tie keeps its weights and is no gain."""
    stopped: bool = False
    """Validation accuracy stood still: no more steps."""
    left_out: int = 0
    """Images so far, of all processes, that did not count."""
    curve: list[dict[str, float]] = field(default_factory=list)
    first_accuracy: float = -1.0
    """Before the first step, where the mean of the first and the best weights was asked for."""
    mean_accuracy: float = -1.0
    """Of that mean."""
    mean_taken: bool = False
    """The mean is the result."""


def save_snapshot(
    path: Path,
    state: TrainingState,
    model: nn.Module,
    optimisers: Sequence[Optimizer],
    kept: Mapping[str, Weights],
) -> None:
    """Write everything; the file under ``path`` is the old or the new snapshot, never a mix.

    ``kept``: other weights of the model, by the name of what they are.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"{name}.{k}": v for name, weights in kept.items() for k, v in weights.items()}
    for number, optimiser in enumerate(optimisers):
        for index, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{index}.{slot}": v for slot, v in slots.items()}
    detached = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(detached, metadata={KEY: json.dumps(vars(state))}))


def load_snapshot(
    path: Path, model: nn.Module, optimisers: Sequence[Optimizer]
) -> tuple[TrainingState, dict[str, Weights]] | None:
    """Restore model and optimiser in place; None where there is no snapshot that can be used."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            state = TrainingState(**json.loads((file.metadata() or {})[KEY]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
    groups: dict[str, Weights] = {}
    for name, tensor in tensors.items():
        group, rest = name.split(".", 1)
        groups.setdefault(group, {})[rest] = tensor
    model.load_state_dict(groups.pop("model"))
    slots: list[dict[int, dict[str, Any]]] = [{} for _ in optimisers]
    for name, tensor in groups.pop("optimiser", {}).items():
        number, index, slot = name.split(".", 2)
        slots[int(number)].setdefault(int(index), {})[slot] = tensor
    for optimiser, mine in zip(optimisers, slots, strict=True):
        kept = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": mine, "param_groups": kept})
    return state, groups


def first_not_finite(model: nn.Module) -> str:
    """The name of the first parameter or gradient with NaN or infinity, or 'the loss'."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"tensor {name}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return f"the gradient of {name}"
    return "the loss"
