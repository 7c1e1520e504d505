"""The C extension: arrays as buffers, their sizes checked, their types taken on trust."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

def instruction_sets() -> tuple[str, ...]: ...
def layout_bytes(instruction_set: str, count: int, width: int, /) -> int: ...
def lay_out(
    instruction_set: str, codes: Array, count: int, width: int, blocks: Array, /
) -> None: ...
def nearest(
    instruction_set: str,
    blocks: Array,
    count: int,
    width: int,
    first_id: int,
    queries: Array,
    asked: int,
    kept: int,
    ids: Array,
    distances: Array,
    /,
) -> None: ...
def rank(
    instruction_set: str,
    blocks: Array,
    count: int,
    width: int,
    first_id: int,
    queries: Array,
    asked: int,
    kept: int,
    ids: Array,
    distances: Array,
    probabilities: Array,
    weights: Array,
    window: int,
    /,
) -> None: ...
def pack_signs(instruction_set: str, logits: Array, packed: Array, /) -> None: ...
def limit(instruction_set: str, blocks: Array, queries: int, /) -> int: ...
