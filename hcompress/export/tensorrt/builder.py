"""TensorRT and TensorRT-RTX through one code path: their Python interfaces are the same.

TensorRT builds for the GPU it runs on. TensorRT-RTX builds ahead of time, with no GPU, for the
compute capabilities it is told.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hcompress.compute import cuda
from hcompress.errors import EnvironmentFailed, UsageError
from hcompress.export.options import Library

PIP_LINE = "pip install tensorrt-rtx==1.7.1.116"
MODULES = {Library.TENSORRT: "tensorrt", Library.TENSORRT_RTX: "tensorrt_rtx"}


@dataclass(frozen=True)
class Flavour:
    """One of the two libraries, ready to build."""

    library: Library
    module: ModuleType
    gpus: tuple[str, ...]
    """Compute capabilities of the GPUs that are here."""

    @property
    def version(self) -> str:
        return str(self.module.__version__)

    @property
    def ahead_of_time(self) -> bool:
        """Whether it builds for GPUs that are named, not for the one at hand."""
        return hasattr(self.module, "ComputeCapability")


@dataclass(frozen=True)
class Profile:
    """Batch sizes an engine takes, and the one it is tuned for."""

    least: int
    usual: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.usual <= self.most:
            raise UsageError(
                f"engine: batches of {self.least}, {self.usual}, {self.most}: they must rise"
            )


@dataclass(frozen=True)
class Built:
    """A plan, and what is known of it."""

    plan: bytes
    targets: tuple[str, ...]
    """Compute capabilities it was built for."""
    profiles: tuple[dict[str, Any], ...]
    precision: dict[str, Any]


def find_library(wanted: Library) -> Flavour:
    """TensorRT where it is installed and there is a GPU, else TensorRT-RTX.

    Raises EnvironmentFailed, with the pip line to type, where there is none.
    """
    gpus = cuda.compute_capabilities()
    if wanted is Library.AUTO:
        choices = [Library.TENSORRT, Library.TENSORRT_RTX] if gpus else [Library.TENSORRT_RTX]
    else:
        choices = [wanted]
    for library in choices:
        try:
            return Flavour(library, importlib.import_module(MODULES[library]), gpus)
        except ImportError:
            continue
    names = " or ".join(choices)
    raise EnvironmentFailed(f"engine: {names} is not installed: {PIP_LINE}")


def build(
    flavour: Flavour, model: bytes, profile: Profile, targets: Sequence[str], threads: int
) -> Built:
    """A plan of an ONNX graph whose inputs' first dimension is the batch.

    Precision is what the graph says: networks are strongly typed. Raises UsageError for compute
    capabilities that the library does not know, EnvironmentFailed where it refuses or fails.
    """
    trt, log = flavour.module, _log(flavour.module)
    try:
        builder = trt.Builder(log)
    except (RuntimeError, TypeError) as error:
        raise _failed(flavour, log, f"does not start: {error}") from None
    builder.max_threads = threads
    # Newer versions know no other networks and may have dropped the flag.
    strong = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if strong is None else 1 << int(strong))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise _failed(flavour, log, "does not take the graph")
    settings = builder.create_builder_config()
    settings.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    built_for = _set_targets(flavour, settings, targets)
    shapes = _set_profile(builder, network, settings, profile)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise _failed(flavour, log, f"cannot build for {', '.join(built_for)}")
    data = bytes(plan)
    return Built(data, built_for, shapes, _precision(flavour, data))


def _set_targets(flavour: Flavour, settings: Any, targets: Sequence[str]) -> tuple[str, ...]:
    if not flavour.ahead_of_time:
        if not flavour.gpus:
            raise EnvironmentFailed(
                f"engine: {flavour.library} builds for the GPU at hand, and there is none:"
                f" {PIP_LINE}"
            )
        return flavour.gpus[:1]
    kinds = flavour.module.ComputeCapability
    known = {_spelled(name): kind for name, kind in kinds.__members__.items() if name[:2] == "SM"}
    strangers = [target for target in targets if target not in known]
    if strangers or not targets:
        asked = strangers[0] if strangers else "none"
        raise UsageError(
            f"engine: compute capability {asked}: {flavour.library} {flavour.version} builds for"
            f" {', '.join(known)}"
        )
    chosen = tuple(dict.fromkeys(targets))
    settings.num_compute_capabilities = len(chosen)
    for place, target in enumerate(chosen):
        settings.set_compute_capability(known[target], place)
    return chosen


def _spelled(name: str) -> str:
    """SM86 -> 8.6, SM120 -> 12.0."""
    return f"{name[2:-1]}.{name[-1]}"


def _set_profile(
    builder: Any, network: Any, settings: Any, profile: Profile
) -> tuple[dict[str, Any], ...]:
    chosen, rows = builder.create_optimization_profile(), []
    for place in range(network.num_inputs):
        tensor = network.get_input(place)
        rest = list(tensor.shape)[1:]
        sizes = [[n, *rest] for n in (profile.least, profile.usual, profile.most)]
        chosen.set_shape(tensor.name, *sizes)
        rows.append({"input": tensor.name, "min": sizes[0], "opt": sizes[1], "max": sizes[2]})
    settings.add_optimization_profile(chosen)
    return tuple(rows)


def _precision(flavour: Flavour, plan: bytes) -> dict[str, Any]:
    """What the engine's layers give, where there is a GPU to load it on."""
    if not flavour.gpus:
        return {"inspected": False, "says": "as in the ONNX, unverified: no GPU here to look"}
    trt, log = flavour.module, _log(flavour.module)
    engine = trt.Runtime(log).deserialize_cuda_engine(plan)
    if engine is None:
        return {"inspected": False, "says": "as in the ONNX, unverified: built for another GPU"}
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return {"inspected": True, "layers": count_layers(json.loads(text))}


def count_layers(information: Mapping[str, Any]) -> dict[str, int]:
    """Layers by the type of their first output, from the inspector's JSON."""
    counts: dict[str, int] = {}
    for layer in information.get("Layers", []):
        outputs = layer.get("Outputs", []) if isinstance(layer, dict) else []
        if outputs:
            kind = str(outputs[0].get("Format/Datatype", "unknown")).split(" ")[-1]
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items()))


def _log(trt: Any) -> Any:
    """A logger that keeps errors in ``errors``, for ours to quote, and prints nothing."""
    errors: list[str] = []

    def start(self: Any) -> None:
        trt.ILogger.__init__(self)
        self.errors = errors

    def log(_: Any, severity: Any, message: str) -> None:
        if severity in (trt.Logger.ERROR, trt.Logger.INTERNAL_ERROR):
            errors.append(" ".join(message.split()))

    # The base is only known once the library is there.
    return type("Log", (trt.ILogger,), {"__init__": start, "log": log})()


def _failed(flavour: Flavour, log: Any, what: str) -> EnvironmentFailed:
    # A missing driver is reported again and again, and is what ahead-of-time building is for.
    told = [line for line in log.errors if "CUDA driver version" not in line]
    why = f": {told[-1][:300]}" if told else ""
    return EnvironmentFailed(f"engine: {flavour.library} {flavour.version} {what}{why}")
