"""What this machine has: versions, processor, accelerators, fonts. Every probe can fail alone."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from hcompress import __version__
from hcompress.compute.libraries import CORE, EXTRAS, version
from hcompress.errors import EnvironmentFailed
from hcompress.models import packaged_model
from hcompress.strict.digest import file_digest

ENGINE_MODULES: Final = ("tensorrt", "tensorrt_rtx")
CPU_FLAGS: Final = (
    "avx2", "f16c", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "avx512_vpopcntdq",
    "amx_bf16", "amx_int8", "asimd", "asimddp", "sve",
)  # fmt: skip


def examine() -> dict[str, Any]:
    """Everything, as `hcompress doctor --json` prints it."""
    packages = {name: version(name) for name in CORE}
    extras = {extra: {name: version(name) for name in names} for extra, names in EXTRAS.items()}
    return {
        "hcompress": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "missing": [name for name, found in packages.items() if found is None],
        "extras": extras,
        "cpu": cpu(),
        "memory_bytes": memory(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
        "gpus": gpus(),
        "engine_libraries": {
            name: importlib.util.find_spec(name) is not None for name in ENGINE_MODULES
        },
        "fonts": fonts(),
        "search": search(),
        "model": model(),
    }


def cpu() -> dict[str, Any]:
    """Model, cores this process may use, and the instruction sets that matter to us."""
    text = _read(Path("/proc/cpuinfo"))
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": model[1].strip() if model else platform.processor() or platform.machine(),
        "cores": cores,
        "features": [flag for flag in CPU_FLAGS if flag in present],
    }


def memory() -> int | None:
    """Bytes of memory, or None where the system does not say."""
    found = re.search(r"^MemTotal:\s*(\d+) kB", _read(Path("/proc/meminfo")), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def gpus() -> list[str]:
    """Name, memory, compute capability and driver of each NVIDIA GPU, as its driver says."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    query = "--query-gpu=name,memory.total,compute_cap,driver_version"
    try:
        done = subprocess.run(
            [tool, query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def fonts() -> dict[str, int] | None:
    """How many font faces can draw a digit, by split; None without the synth extra."""
    if version("fonttools") is None or version("matplotlib") is None:
        return None
    from hcompress.data.render.fonts import faces
    from hcompress.data.render.spec import Split

    return {split.value: len(faces(split, "0")) for split in Split}


def search() -> dict[str, Any] | None:
    """Which nearest-code search is in use, and what else it could use; None without numpy."""
    if version("numpy") is None:
        return None
    from hcompress.search import backend

    return {
        "in_use": backend.description(),
        "instruction_sets": list(backend.instruction_sets()),
    }


def model() -> dict[str, Any] | None:
    """Name, bytes and digest of the model in the package; None where it was built without one."""
    try:
        path = packaged_model()
    except EnvironmentFailed:
        return None
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": file_digest(path)}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def summary_rows(found: dict[str, Any]) -> list[list[str]]:
    """`examine`'s answer as names with their values."""
    rows = [["hcompress", found["hcompress"]], ["python", found["python"]]]
    rows.append(["platform", found["platform"]])
    rows += [[name, value or "missing"] for name, value in found["packages"].items()]
    for extra, packages in found["extras"].items():
        state = ", ".join(f"{name} {value or 'missing'}" for name, value in packages.items())
        rows.append([f"extra {extra}", state])
    rows.append(["processor", f"{found['cpu']['model']}, {found['cpu']['cores']} cores"])
    rows.append(["instructions", " ".join(found["cpu"]["features"]) or "unknown"])
    rows.append(["search", found["search"]["in_use"] if found["search"] else "none: needs numpy"])
    rows.append(["model", _model_text(found["model"])])
    if found["memory_bytes"]:
        rows.append(["memory", f"{found['memory_bytes'] >> 20:,} MiB"])
    rows.append(["free disk", f"{found['disk_free_bytes'] >> 20:,} MiB"])
    rows.append(["GPU", "; ".join(found["gpus"]) or "none"])
    engines = [name for name, there in found["engine_libraries"].items() if there]
    rows.append(["engines", ", ".join(engines) or "none: pip install 'hcompress[tensorrt]'"])
    shown = found["fonts"]
    text = "none: pip install 'hcompress[synth]'"
    if shown is not None:
        text = ", ".join(f"{count} {split}" for split, count in shown.items())
    rows.append(["fonts", text])
    return rows


def _model_text(found: dict[str, Any] | None) -> str:
    if found is None:
        return "none in this package: give `read` one of yours"
    return f"{found['name']}, {found['bytes']:,} bytes, SHA-256 {found['sha256']}"
