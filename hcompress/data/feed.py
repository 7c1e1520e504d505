"""Labelled images for codes, dealt out over processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hcompress.compute.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hcompress.data.batches import Batch
    from hcompress.spec.config import Preprocessing
    from hcompress.stages.base import Env


class Fed(Protocol):
    """A stage that looks at labelled images."""

    @property
    def data(self) -> Path | None: ...
    @property
    def images(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def workers(self) -> int: ...


def dealt_out(
    label: str, stage: Fed, size: Preprocessing, env: Env
) -> tuple[Iterator[Batch], list[int]]:
    """This process's batches, and how many images each process takes.

    Codes must be the same bytes everywhere, so always float32 on the CPU's fixed threads.
    """
    from hcompress.compute.device import launch
    from hcompress.data.batches import batches, shard
    from hcompress.data.source import open_data

    assert stage.data is not None
    fabric = launch(Precision.FP32, env.threads, accelerator="cpu")
    source = open_data(stage.data)
    count = min(stage.images, len(source))
    shares = [
        len(shard(range(count), rank, fabric.world_size, stage.batch))
        for rank in range(fabric.world_size)
    ]
    mine = shard(range(count), fabric.global_rank, fabric.world_size, stage.batch)
    env.progress.start(label, len(mine))
    return batches(source, mine, stage.batch, size, stage.workers), shares


def say_shares(label: str, shares: list[int], env: Env) -> None:
    """How many images each process took."""
    env.progress.finish()
    for rank, images in enumerate(shares):
        env.progress.say(f"{label}: process {rank} of {len(shares)}: {images} images")
