"""Processes, devices, precision and memory: the one place that asks what machine this is."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hcompress.compute.precision import Precision
from hcompress.errors import UsageError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def world_size() -> int:
    """Processes under torchrun; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_shares(**batches: int) -> None:
    """Raises UsageError where a batch, by its parameter's name, can't be shared out evenly."""
    for name, size in batches.items():
        if size % world_size():
            raise UsageError(f"{name} = {size} can't be shared by {world_size()} processes evenly")


def launch(precision: Precision, threads: int, accelerator: str = "auto") -> Fabric:
    """Fabric for this process: alone, or one of torchrun's."""
    from lightning_fabric import Fabric

    keep_memory()
    torch.set_num_threads(threads)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=max(1, world_size() // local),
        strategy="ddp" if world_size() > 1 else "auto",
        precision="bf16-mixed" if resolve(precision) is Precision.BF16 else "32-true",
    )
    fabric.launch()
    return fabric


def resolve(precision: Precision) -> Precision:
    """FP32 or BF16. Emulated bf16 on a CPU without it is some twenty times slower: never auto."""
    if precision is not Precision.AUTO:
        return precision
    if torch.cuda.is_available():
        return Precision.BF16 if torch.cuda.is_bf16_supported() else Precision.FP32
    return Precision.BF16 if _cpu_multiplies_bf16() else Precision.FP32


def _cpu_multiplies_bf16() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return "avx512_bf16" in flags.split()


def keep_memory() -> None:
    """Ask glibc to keep freed blocks instead of handing each large one back to the kernel.

    A training step frees and takes the same hundreds of MiB again; mapping them anew each time
    cost up to a third of the step on the machine this was measured on.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has no mallopt
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 256 * 2**20)
