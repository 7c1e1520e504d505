"""Many processes under `torchrun`: the first decides, writes and publishes; the others follow."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


T = TypeVar("T")
_PATIENCE = datetime.timedelta(days=1)
"""How long a process waits for another. torchrun ends everyone when one of them fails, so a
long stage on the first process must not look like a failure."""


@dataclass(frozen=True)
class Ranks:
    """This process's number and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, decide: Callable[[], T]) -> T:
        """What ``decide`` returns on the first process, on every process."""
        if self.size == 1:
            return decide()
        import torch.distributed as distributed

        _connect()
        box: list[Any] = [decide() if self.first else None]
        distributed.broadcast_object_list(box, src=0)
        return cast(T, box[0])

    def wait(self) -> None:
        """Until every process is here."""
        self.agree(lambda: None)


def _connect() -> None:
    """One process group for us and for Fabric, which takes over one that exists."""
    import torch
    import torch.distributed as distributed

    if distributed.is_initialized():
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group(backend, timeout=_PATIENCE)


def disconnect() -> None:
    """Leave the process group, if this process ever joined one."""
    import sys

    if "torch.distributed" not in sys.modules:
        return
    import torch.distributed as distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def from_environment() -> Ranks:
    """What torchrun says in RANK and WORLD_SIZE; one process without them."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    return Ranks(int(os.environ.get("RANK", "0")), size) if size > 1 else Ranks()


def sum_over_processes(*counts: NDArray[np.int64] | NDArray[np.float64]) -> None:
    """Every process's counts added up, in place; whole numbers, so the order does not matter."""
    import torch

    if torch.distributed.is_initialized():
        for count in counts:
            torch.distributed.all_reduce(torch.from_numpy(count))
