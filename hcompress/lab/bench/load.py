"""From a file to its first text, in a process of its own:
`python -m hcompress.lab.bench.load MODEL`.

Imports come first and are not counted.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from hcompress.errors import EnvironmentFailed

MIB: Final = 2**20
IMPORTS: Final = (
    "numpy", "onnxruntime", "PIL.Image", "hcompress.data.preprocess", "hcompress.runtime",
    "hcompress.search",
)  # fmt: skip


def load_entry(models: dict[str, Path], runs: int) -> dict[str, Any]:
    """Milliseconds and MiB of memory to the first text, medians and least of ``runs`` processes.

    Processes of the models take turns. Raises EnvironmentFailed where one fails.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    for _ in range(runs):
        for name, model in models.items():
            found[name].append(_in_process(model))
    entry: dict[str, Any] = {}
    minima: dict[str, float] = {}
    for name, results in found.items():
        for unit in ("ms", "mib"):
            values = [result[unit] for result in results]
            entry[f"{name}_{unit}"] = round(statistics.median(values), 2)
            minima[f"{name}_{unit}"] = round(min(values), 2)
    return {**entry, "minima": minima, "runs": runs}


def _in_process(model: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "hcompress.lab.bench.load", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFailed(f"{model}: loading it in a process of its own: {last}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(model: Path) -> dict[str, float]:
    """``ms`` of wall clock from the file to the first text, and ``mib`` the peak grew by."""
    for name in IMPORTS:
        importlib.import_module(name)
    import numpy as np

    from hcompress.runtime import OnnxReader

    image = np.full((48, 160, 3), 128, np.uint8)
    before = memory("VmRSS")
    start = time.perf_counter()
    OnnxReader(model, threads=1).read([image])
    seconds = time.perf_counter() - start
    return {"ms": seconds * 1e3, "mib": (memory("VmHWM") - before) / MIB}


def memory(kind: str) -> int:
    """Bytes this process holds (``VmRSS``) or held at most (``VmHWM``), as Linux counts them."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name == kind:
            return int(rest.split()[0]) * 1024
    return _most_held()


def _most_held() -> int:
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
