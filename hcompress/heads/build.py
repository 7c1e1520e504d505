"""From a spec to its modules: the one place that knows which head is which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hcompress.heads.contract import Head, Inputs, Setting
from hcompress.heads.hamming.module import HammingHead, HammingInputsModule
from hcompress.heads.softmax import FactorisedHead, FactorisedInputs, LearnedInputs, SoftmaxHead
from hcompress.spec.heads import (
    HEADS,
    INPUTS,
    Hamming,
    HammingInputs,
    HeadSpec,
    InputsSpec,
    Learned,
    Softmax,
)

_MODULES: Final[dict[type[HeadSpec], Callable[[Any, Setting], Any]]] = {
    Softmax: lambda spec, setting: (
        SoftmaxHead(spec, setting) if spec.bottleneck is None else FactorisedHead(spec, setting)
    ),
    Hamming: HammingHead,
    Learned: lambda spec, setting: (
        LearnedInputs(spec, setting) if spec.bottleneck is None else FactorisedInputs(spec, setting)
    ),
    HammingInputs: HammingInputsModule,
}


def register(spec: type[HeadSpec], module: Callable[[Any, Setting], Head | Inputs]) -> None:
    """Let recognisers have this head, or half of one: files may name its kind from now on."""
    if issubclass(spec, InputsSpec):
        INPUTS[spec.kind] = spec
    else:
        HEADS[spec.kind] = spec
    _MODULES[spec] = module


def build_head(spec: HeadSpec, setting: Setting) -> Head:
    head: Head = _MODULES[type(spec)](spec, setting)
    return head


def build_inputs(spec: InputsSpec, setting: Setting) -> Inputs:
    inputs: Inputs = _MODULES[type(spec)](spec, setting)
    return inputs
