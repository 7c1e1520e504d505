"""The one training loop: batches by index, schedule by step, snapshots, validation, plateau.

The model, its loss and its data are the caller's. Lightning Fabric places them on devices and
splits a batch's images over processes; the same command runs alone or under torchrun.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from hcompress.errors import InputRefused, NumericalError
from hcompress.training.muon import Muon
from hcompress.training.schedule import Schedule
from hcompress.training.snapshot import (
    TrainingState,
    Weights,
    agreed,
    first_not_finite,
    load_snapshot,
    save_snapshot,
    taken_up,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from hcompress.progress import Progress


FIRST, BEST = "first", "best"
"""The names under which a snapshot keeps these weights."""


@dataclass(frozen=True)
class Loss:
    """One process's share of a batch: a sum over its targets, and how many they are."""

    total: Tensor
    targets: int
    left_out: int = 0
    """Images of the share none of whose targets counts."""


class Validated(NamedTuple):
    """What a model makes of validation lines."""

    accuracy: float
    """The share read exactly."""
    ned: float
    """1-NED: the mean over lines of 1 - edit distance / longer length."""


@dataclass(frozen=True)
class Task:
    """What is trained, on what, and how it is judged."""

    label: str
    model: nn.Module
    loss: Callable[[nn.Module, Any], Loss]
    batches: Callable[[int], Iterator[Any]]
    """Batches from the given step on, this process's share of each; whatever ``loss`` takes."""
    validate: Callable[[nn.Module], Validated] | None = None
    validated: int = 0
    """Lines that ``validate`` reads: what its share of them owes to chance."""
    freeze: tuple[str, ...] = ()
    """Prefixes of parameter names that are kept; their batch statistics stay too."""
    slower: tuple[tuple[str, float], ...] = ()
    """Prefixes of parameter names with a multiple of the learning rate of their own."""
    matrices: tuple[str, ...] = ()
    """Prefixes of the names of what Muon takes, where the schedule gives it a rate."""
    prepare: Callable[[], None] | None = None
    """Gives the model, on its device, first weights, where no snapshot has any."""


def train(
    task: Task, schedule: Schedule, fabric: Fabric, snapshot: Path, progress: Progress
) -> TrainingState:
    """Run ``task`` to its end, resuming from ``snapshot`` where there is one.

    The model holds the result: the last weights, or those of the best validation where that was
    better by more than chance or the run stopped early; or their mean with the first. Raises
    NumericalError at a loss that is not finite, naming the tensor, and InputRefused where none of
    the images counts.
    """
    # Before the optimisers: what a snapshot gives them goes to where the parameters are.
    task.model.to(fabric.device)
    optimisers = _optimisers(task, schedule)
    restored = agreed(load_snapshot(snapshot, task.model, optimisers), fabric)
    state, kept = taken_up(restored, task.model, optimisers)
    if restored is None and snapshot.exists():
        progress.say(f"{task.label}: its snapshot is damaged: it begins anew")
    model, *optimisers = fabric.setup(task.model, *optimisers)
    if restored is None:
        _begin(task, schedule, fabric, state, kept)
    _keep_frozen(task)
    progress.start(task.label, schedule.steps, done=state.step)
    started, first = time.monotonic(), state.step
    if not state.stopped and state.step < schedule.steps:
        for batch in task.batches(state.step):
            loss = _step(task, schedule, fabric, model, optimisers, batch, state)
            speed = (state.step - first) * schedule.batch_size / (time.monotonic() - started)
            progress.advance(1, f"loss {loss:.4f}, {speed:.0f} images/s")
            _judge(task, schedule, fabric, state, loss, kept, progress)
            if state.stopped or state.step >= schedule.steps:
                break
            if state.step % schedule.snapshot_every == 0 and fabric.is_global_zero:
                save_snapshot(snapshot, state, task.model, optimisers, kept)
    progress.finish()
    say_left_out(task.label, state.left_out, state.step * schedule.batch_size, progress)
    if BEST in kept:
        task.model.load_state_dict(kept[BEST])
        if FIRST in kept:
            _meet_the_first(task, fabric, state, kept, progress)
    if fabric.is_global_zero:
        save_snapshot(snapshot, state, task.model, optimisers, kept)
    return state


def _begin(
    task: Task, schedule: Schedule, fabric: Fabric, state: TrainingState, kept: dict[str, Weights]
) -> None:
    """What comes before the first step."""
    if task.prepare is not None:
        task.prepare()
    if schedule.weight_averaging and task.validate is not None:
        task.model.eval()
        state.first_accuracy = fabric.broadcast(task.validate(task.model)).accuracy
        kept[FIRST] = _weights(task.model)


def _optimisers(task: Task, schedule: Schedule) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon where the schedule gives the matrices a rate of their own.

    Every group knows its peak rate. Frozen parameters stop asking for gradients.
    """
    matrices: list[nn.Parameter] = []
    rest: dict[float, list[nn.Parameter]] = {}
    for name, parameter in task.model.named_parameters():
        if name.startswith(task.freeze):
            parameter.requires_grad_(False)
        elif schedule.matrix_rate and parameter.ndim == 2 and name.startswith(task.matrices):
            matrices.append(parameter)
        else:
            multiple = next((m for prefix, m in task.slower if name.startswith(prefix)), 1.0)
            rest.setdefault(multiple, []).append(parameter)
    groups = [
        {"params": p, "peak": schedule.learning_rate * m} for m, p in sorted(rest.items())
    ]  # fmt: skip
    decay = schedule.weight_decay
    optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, weight_decay=decay)]
    if matrices:
        group = {"params": matrices, "peak": schedule.matrix_rate}
        optimisers.append(Muon([group], weight_decay=decay))
    return optimisers


def _keep_frozen(task: Task) -> None:
    task.model.train()
    for name, module in task.model.named_modules():
        if name and (name + ".").startswith(task.freeze):
            module.eval()


def _step(
    task: Task,
    schedule: Schedule,
    fabric: Fabric,
    model: Any,
    optimisers: list[Any],
    batch: Any,
    state: TrainingState,
) -> float:
    """One step, counted in ``state``; the loss."""
    for group in (group for optimiser in optimisers for group in optimiser.param_groups):
        group["lr"] = schedule.share(state.step) * group["peak"]
    loss = task.loss(model, batch)
    counts = torch.tensor([float(loss.targets), float(loss.left_out)], device=fabric.device)
    summed: Any = fabric.all_reduce(counts, reduce_op="sum")
    targets, left_out = summed.tolist()
    # DDP averages gradients over processes; times their number it is the sum over all targets.
    scaled = loss.total * fabric.world_size / max(1.0, targets)
    fabric.backward(scaled)
    value = float(scaled.detach())
    if not math.isfinite(value):
        raise NumericalError(
            f"{task.label}: step {state.step}: {first_not_finite(task.model)} is not finite;"
            " lower the learning rate"
        )
    # Muon's updates have one size whatever the gradient's: only AdamW's need a limit.
    fabric.clip_gradients(model, optimisers[0], max_norm=schedule.clip, error_if_nonfinite=False)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad()
    state.step += 1
    state.left_out += int(left_out)
    return value


def say_left_out(label: str, left_out: int, seen: int, progress: Progress) -> None:
    """How many images did not count. Raises InputRefused where none did: nothing can be learnt."""
    if not left_out:
        return
    why = (
        "labels too long for the model's max_steps or with characters outside the charset, or"
        " images that can't be read"
    )
    if left_out == seen:
        raise InputRefused(f"{label}: none of {seen:,} images counts: {why}")
    progress.say(f"{label}: {left_out:,} of {seen:,} images left out: {why}")


def _judge(
    task: Task,
    schedule: Schedule,
    fabric: Fabric,
    state: TrainingState,
    loss: float,
    kept: dict[str, Weights],
    progress: Progress,
) -> None:
    """Validate where it is time to, and keep the best weights so far."""
    every = schedule.validate_every
    last = state.step >= schedule.steps
    if task.validate is None or not every or (state.step % every and not last):
        return
    task.model.eval()
    accuracy, ned = fabric.broadcast(task.validate(task.model))
    _keep_frozen(task)
    state.curve.append({"step": state.step, "loss": loss, "accuracy": accuracy, "ned": ned})
    progress.say(
        f"{task.label}: step {state.step}: loss {loss:.4f}, validation {accuracy:.2%},"
        f" 1-NED {ned:.4f}"
    )
    if accuracy > state.best_accuracy:
        state.gain_step = state.step
    # The rate has fallen to zero by the last step, and half-way weights are rarely better: a lead
    # of theirs that few lines could give by chance is not held against the last ones.
    if accuracy >= state.best_accuracy - (_chance(state.best_accuracy, task) if last else 0.0):
        state.best_accuracy, state.best_step = accuracy, state.step
        kept[BEST] = _weights(task.model)
    waited = (state.step - state.gain_step) // every
    state.stopped = bool(schedule.patience) and waited >= schedule.patience and not last


def _meet_the_first(
    task: Task,
    fabric: Fabric,
    state: TrainingState,
    kept: Mapping[str, Weights],
    progress: Progress,
) -> None:
    """Half-way back to the first weights, where that reads as well.

    What a few lines teach is bought with some of what many taught before; the mean of the two
    has most of both (Wortsman et al. 2022). Where the steps won no more than chance gives, the
    mean may lose as little; what they clearly won, it must keep.
    """
    assert task.validate is not None
    task.model.load_state_dict(_mean(kept[FIRST], kept[BEST]))
    task.model.eval()
    state.mean_accuracy = fabric.broadcast(task.validate(task.model)).accuracy
    chance = _chance(state.best_accuracy, task)
    near = state.first_accuracy >= state.best_accuracy - chance
    state.mean_taken = state.mean_accuracy >= state.best_accuracy - (chance if near else 0.0)
    if not state.mean_taken:
        task.model.load_state_dict(kept[BEST])
    verdict = "taken" if state.mean_taken else "left"
    progress.say(
        f"{task.label}: validation before {state.first_accuracy:.2%}, after"
        f" {state.best_accuracy:.2%}, mean of the two {state.mean_accuracy:.2%}: {verdict}"
    )


def _mean(one: Weights, other: Weights) -> Weights:
    """The mean of two states of one model; what holds no fractions is the other's."""
    return {k: (one[k] + v) / 2 if v.is_floating_point() else v for k, v in other.items()}


def _weights(model: nn.Module) -> Weights:
    return {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}


def _chance(accuracy: float, task: Task) -> float:
    """The standard error of a difference of two such accuracies; at least 0."""
    share = min(1.0, max(0.0, accuracy))
    return math.sqrt(2 * share * (1 - share) / task.validated) if task.validated else 0.0
