"""What a foreign file's tensors say of how its weights are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hcompress.foreign.in_force import encoding_of, techniques
from hcompress.formats.layout import Piece
from hcompress.heads.encodings.encode import Evidence, Teacher, encoded
from hcompress.heads.encodings.menu import encoding, menu
from hcompress.onnx_writer.decoders import Store
from hcompress.onnx_writer.packed import Halves, Packed
from hcompress.onnx_writer.whole_numbers import Ints
from hcompress.sizes.groups import BACKBONE, CLASSIFIER
from tests.foreign.builders import tensor

WIDTH = 32


def pieces(name: str, *stored: Packed) -> list[Piece]:
    """What a file would hold of it."""
    store = Store(name)
    for one in stored:
        one.emit(store)
    return [
        Piece(one.name, int(np.prod(one.dims)), len(one.raw_data), Path("f"), 0, None,
              tuple(one.dims))
        for one in store.tensors
    ]  # fmt: skip


@pytest.mark.parametrize("dead", [0, 5])
@pytest.mark.parametrize("name", [one.name for one in menu(WIDTH)])
def test_every_encoding_of_the_menu_is_told_by_its_tensors(name: str, dead: int) -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    weight = rng.standard_normal((60, WIDTH)).astype(np.float32)
    bias = np.zeros(60, np.float32)
    teacher = Teacher(weight, bias, (0,), np.arange(50, 50 + dead))
    evidence = Evidence.of(rng.standard_normal((200, WIDTH)).astype(np.float32), teacher)
    head = encoded(teacher, evidence, encoding(name, WIDTH).fit)
    assert encoding_of(pieces("classifier", head.weight, head.bias)) == name


def test_a_body_has_the_bits_that_most_of_it_is_in() -> None:
    rng = np.random.Generator(np.random.PCG64(2))

    def ints(rows: int, bits: int) -> Ints:
        values = rng.integers(-2, 2, (rows, 8)).astype(np.int8)
        return Ints(values, np.ones((rows, 1), np.float16), bits)

    there = pieces("a", ints(64, 6)) + pieces("b", ints(40, 8)) + pieces("c", ints(64, 6))
    body = {piece.name: BACKBONE for piece in there}
    assert techniques(there, body) == ("Body in 6 Bits",)
    head = pieces("classifier", Halves(np.ones((4, 8), np.float16)))
    groups = body | {piece.name: CLASSIFIER for piece in head}
    assert techniques(there + head, groups) == ("Encoded Head (fp16)", "Body in 6 Bits")


def test_plain_floats_are_nothing() -> None:
    made = tensor("w", np.ones((2, 3)))
    there = [Piece(made.name, 6, 24, Path("f"), 0, "F32", (2, 3))]
    assert techniques(there, {"w": CLASSIFIER}) == ()
    assert techniques(there, {"w": BACKBONE}) == ()
