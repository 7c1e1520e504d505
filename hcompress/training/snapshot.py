"""A trainer's half-way state on disk: weights, optimiser state, step. No pickle.

One safetensors file, replaced atomically and sealed by a digest. Everything else a run needs to
go on exactly as if it had not stopped follows from the step: batches are cut by index and nothing
is drawn at random while training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.optim import Optimizer

from hcompress.errors import InputRefused, UsageError
from hcompress.strict.atomic import write_bytes
from hcompress.strict.files import open_regular, shown
from hcompress.strict.json import strict_json
from hcompress.strict.read import read

if TYPE_CHECKING:
    from lightning_fabric import Fabric

KEY, SEAL = "hcompress", "sha256"
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
    text = json.dumps(vars(state))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, save(detached, metadata={KEY: text, SEAL: _seal(detached, text)}))


@dataclass(frozen=True)
class Snapshot:
    """What was saved, checked and not yet put back."""

    state: TrainingState
    seal: str
    """64 hex over all the rest."""
    model: Weights
    optimisers: tuple[Mapping[int, Weights], ...]
    """For each optimiser its slots, by the number of the parameter."""
    kept: Mapping[str, Weights]
    """As `save_snapshot` has them."""

    def restore(self, model: nn.Module, optimisers: Sequence[Optimizer]) -> None:
        """Put weights and slots back in place."""
        model.load_state_dict(self.model)
        for optimiser, slots in zip(optimisers, self.optimisers, strict=True):
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": slots, "param_groups": groups})


def load_snapshot(path: Path, model: nn.Module, optimisers: Sequence[Optimizer]) -> Snapshot | None:
    """The snapshot of this model and these optimisers; None if there is none, or none to trust.

    A byte that changed on the disk would end in other weights, and nobody would be told: what
    does not have its seal, or is not of this model, is as good as nothing.
    """
    try:
        with open_regular(path) as (stream, _):
            data = stream.read()
        return _checked(data, model, optimisers, shown(path))
    except (UsageError, InputRefused, SafetensorError):
        return None


def _checked(
    data: bytes, model: nn.Module, optimisers: Sequence[Optimizer], where: str
) -> Snapshot:
    """Raises InputRefused, or SafetensorError, if ``data`` is anything but a snapshot of these."""
    tensors = load(data)
    length = int.from_bytes(data[:8], "little")
    metadata = strict_json(data[8 : 8 + length], where).get("__metadata__", {})
    text, seal = metadata.get(KEY, ""), metadata.get(SEAL, "")
    if seal != _seal(tensors, text):
        raise InputRefused(f"{where}: damaged")
    raw = strict_json(text, where)
    read(TrainingState, raw, where)  # a check: it would make the curve's steps floats
    groups: dict[str, Weights] = {}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = tensor
    slots = _slots(groups.pop("optimiser", {}), optimisers, where)
    own = model.state_dict()
    if "model" not in groups or any(not _alike(own, weights) for weights in groups.values()):
        raise InputRefused(f"{where}: of another model")
    return Snapshot(TrainingState(**raw), seal, groups.pop("model"), slots, groups)


def _slots(
    saved: Weights, optimisers: Sequence[Optimizer], where: str
) -> tuple[Mapping[int, Weights], ...]:
    """Each optimiser's slots, by the number of a parameter of that shape."""
    found: list[dict[int, Weights]] = [{} for _ in optimisers]
    shapes = {
        f"{number}.{index}": parameter.shape
        for number, optimiser in enumerate(optimisers)
        for index, parameter in enumerate(_parameters(optimiser))
    }
    for name, tensor in saved.items():
        place, _, slot = name.rpartition(".")
        if place not in shapes or tensor.shape not in (shapes[place], torch.Size()):
            raise InputRefused(f"{where}: of another optimiser")
        number, _, index = place.partition(".")
        found[int(number)].setdefault(int(index), {})[slot] = tensor
    return tuple(found)


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _alike(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states have the same names, shapes and types."""
    return one.keys() == other.keys() and all(
        (one[name].shape, one[name].dtype) == (other[name].shape, other[name].dtype) for name in one
    )


def _seal(tensors: Mapping[str, Tensor], text: str) -> str:
    """The digest of the state's JSON and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def agreed(found: Snapshot | None, fabric: Fabric) -> Snapshot | None:
    """The snapshot that every process has found; None if one of them has another, or none."""
    if fabric.world_size == 1:
        return found
    seal = "" if found is None else found.seal
    same = torch.tensor(float(seal == fabric.broadcast(seal)), device=fabric.device)
    count: Any = fabric.all_reduce(same, reduce_op="sum")
    return found if int(count) == fabric.world_size else None


def taken_up(
    found: Snapshot | None, model: nn.Module, optimisers: Sequence[Optimizer]
) -> tuple[TrainingState, dict[str, Weights]]:
    """Where the snapshot left off, put back in place; a beginning if there is none."""
    if found is None:
        return TrainingState(), {}
    found.restore(model, optimisers)
    return found.state, dict(found.kept)


def first_not_finite(model: nn.Module) -> str:
    """The name of the first parameter or gradient with NaN or infinity, or 'the loss'."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"tensor {name}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all()):
            return f"the gradient of {name}"
    return "the loss"
