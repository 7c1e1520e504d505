"""int8 weights: which they are, what inputs they meet, and how far rounding moves outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from hcompress.compress.half import as_half
from hcompress.compress.options import Scale
from hcompress.compute.quantised import MAX_ABS, SEARCHED, Quantised, quantised
from hcompress.errors import UsageError
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import folded, rebuilt
from hcompress.spec.config import Weights
from hcompress.spec.refusals import check_not_int8

Moments = Mapping[str, Tensor]
"""Mean squares of a matrix's inputs, [in], up to a factor, by the weight's name."""


@dataclass(frozen=True)
class Int8Model:
    """The recogniser, which computes with what its int8 weights stand for, and these weights."""

    model: Recogniser
    packed: dict[str, Quantised]
    report: dict[str, Any]


def matrices(model: Recogniser) -> dict[str, nn.Module]:
    """What has a weight [out, ...] that is stored as int8, by that weight's name.

    Depthwise kernels are not among them: in the light model they are 2% of the weights, and in
    int8 a third of the backbone's error.
    """
    found = {}
    for name, module in model.named_modules():
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        if weight is not None and weight.dim() > 1 and getattr(module, "groups", 1) == 1:
            found[f"{name}.weight"] = module
    return found


def prepared(model: Recogniser) -> Recogniser:
    """Batch normalisation folded: what is quantised, and what inputs are taken of.

    Raises UsageError where the weights are int8 already.
    """
    check_not_int8(model.config)
    return folded(model)


@torch.inference_mode()
def input_moments(model: Recogniser, images: Iterable[Tensor]) -> dict[str, Tensor]:
    """`Moments` of every matrix while ``images``, uint8 [1, H, W, 3] each, are read.

    One line at a time: none is read on after its end because its neighbours are longer.
    """
    sums: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, module in matrices(model).items():
            hooks.callback(module.register_forward_hook(_adding(sums, name)).remove)
        for image in images:
            model.read(image)
    return sums


def _adding(sums: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def add(module: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        if not inputs[0].is_floating_point():
            return  # ids
        x = inputs[0].double().square()
        seen = x.mean((0, 2, 3)) if isinstance(module, nn.Conv2d) else x.flatten(0, -2).sum(0)
        sums[name] = sums[name] + seen if name in sums else seen

    return add


def with_int8_weights(
    model: Recogniser,
    moments: Moments,
    keep: tuple[str, ...] = (),
    ratios: Sequence[float] = SEARCHED,
) -> Int8Model:
    """``model``, as `prepared`, with int8 matrices; every other float is rounded to FP16.

    ``keep``: prefixes of names of matrices that become FP16 too. Raises UsageError where one
    matches none or all are kept, NumericalError naming a tensor that can't be held.
    """
    found = matrices(model)
    for prefix in keep:
        if not any(name.startswith(prefix) for name in found):
            raise UsageError(f"keep: no int8 tensor's name starts with {prefix!r}")
    chosen = {n: m for n, m in found.items() if not (keep and n.startswith(keep))}
    if not chosen:
        raise UsageError("keep: leaves no tensor to store as int8; the stage for that is half")
    state = model.state_dict()
    packed: dict[str, Quantised] = {}
    errors: dict[str, float] = {}
    for name, module in chosen.items():
        importance = _importance(module, moments.get(name))
        rows = state[name].flatten(1)
        flat = quantised(rows, importance, ratios)
        floats = as_half(name, flat.floats())
        errors[name] = _output_error(rows, floats, importance)
        packed[name] = Quantised(flat.values.reshape(state[name].shape), flat.scale)
    changed = {
        name: packed[name].floats() if name in packed else as_half(name, value)
        for name, value in state.items()
        if value.is_floating_point()
    }
    worst = max(errors, key=lambda name: errors[name])
    report = {
        "quantised": len(packed),
        "kept": sorted(found.keys() - chosen.keys()),
        "worst_output_error": {"tensor": worst, "error": errors[worst]},
        "mean_output_error": sum(errors.values()) / len(errors),
    }
    new = rebuilt(model, replace(model.config, weights=Weights.INT8), changed)
    return Int8Model(new, packed, report)


def int8_model(
    model: Recogniser,
    images: Iterable[Tensor],
    scale: Scale = Scale.LEAST_ERROR,
    keep: tuple[str, ...] = (),
) -> Int8Model:
    """Batch normalisation folded, then int8 weights whose scales are chosen as ``scale`` says.

    ``images`` as in `input_moments`; none, and all inputs count alike. They are not looked at if
    they would change nothing. Raises as `prepared` and `with_int8_weights`.
    """
    ready = prepared(model)
    if scale is Scale.MAX_ABS:
        return with_int8_weights(ready, {}, keep, MAX_ABS)
    return with_int8_weights(ready, input_moments(ready, images), keep)


def _importance(module: nn.Module, moments: Tensor | None) -> Tensor | None:
    """Of each column of the weight as a matrix; None where all count the same."""
    if moments is None or not isinstance(module, nn.Conv2d):
        return moments
    rows, columns = module.kernel_size
    return moments.repeat_interleave(rows * columns)


def _output_error(before: Tensor, after: Tensor, importance: Tensor | None) -> float:
    """Root mean square of the output's change over the output's, inputs taken as independent."""
    weights = torch.ones(before.shape[1]) if importance is None else importance.float()
    power = float((before.square() @ weights).sum())
    moved = float(((before - after).square() @ weights).sum())
    return (moved / power) ** 0.5 if power else 0.0
