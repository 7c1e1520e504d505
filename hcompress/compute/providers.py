"""What onnxruntime computes on: execution providers by their names, or short for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hcompress.compute.bounds import no_telemetry
from hcompress.errors import EnvironmentFailed, UsageError
from hcompress.strict.files import quoted

CPU: Final = "CPUExecutionProvider"
_ENDING: Final = "ExecutionProvider"
_INSTALLED_BY: Final = {
    "CUDA": "onnxruntime-gpu",
    "Tensorrt": "onnxruntime-gpu",
    "OpenVINO": "onnxruntime-openvino",
    "DML": "onnxruntime-directml",
    "QNN": "onnxruntime-qnn",
}


def full_names(names: Sequence[str]) -> tuple[str, ...]:
    """`cuda` is CUDAExecutionProvider; none at all is the CPU's.

    Raises UsageError for a name that onnxruntime doesn't know, EnvironmentFailed for one that the
    installed onnxruntime was built without.
    """
    no_telemetry()
    import onnxruntime

    known = {_short(name): name for name in onnxruntime.get_all_providers()}
    available = onnxruntime.get_available_providers()
    found = []
    for name in names or (CPU,):
        full = known.get(_short(name))
        if full is None:
            listed = ", ".join(_short(one) for one in available)
            raise UsageError(f"provider {quoted(name)}: onnxruntime knows none; here are {listed}")
        if full not in available:
            raise lacks(full, available)
        found.append(full)
    return tuple(dict.fromkeys(found))


def lacks(name: str, available: Sequence[str]) -> EnvironmentFailed:
    """What is said of a provider that is not here, or does not start."""
    package = _INSTALLED_BY.get(name.removesuffix(_ENDING))
    hint = f": pip install {package}" if package else ""
    there = ", ".join(available)
    return EnvironmentFailed(f"{name} is not here: this onnxruntime runs {there}{hint}")


def _short(name: str) -> str:
    return name.removesuffix(_ENDING).lower()
