"""What a search takes, and what it refuses: arrays of any make, wrong shapes, types and sizes."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.search import CodeIndex, backend, pack_signs
from tests.search.test_search import SETS, Bytes, random_codes


@pytest.mark.parametrize("name", SETS)
def test_arrays_of_any_make(name: str) -> None:
    codes, queries = random_codes(300, 64), random_codes(5, 64, 1)
    expected = CodeIndex(codes, instruction_set=name).nearest(queries, 3)

    def strange(array: Bytes) -> list[Bytes]:
        readonly = array.copy()
        readonly.flags.writeable = False
        shifted = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].reshape(array.shape)
        wide = np.repeat(array, 2, axis=1)[:, ::2]
        return [readonly, shifted, wide, np.asfortranarray(array), array[::-1].copy()[::-1]]

    for odd_codes, odd_queries in zip(strange(codes), strange(queries), strict=True):
        found = CodeIndex(odd_codes, instruction_set=name).nearest(odd_queries, 3)
        np.testing.assert_array_equal(found.ids, expected.ids)
    floats = np.frombuffer(b"x" + np.ones(16, np.float32).tobytes(), np.uint8)[1:].view(np.float32)
    assert pack_signs(floats[None], name).tolist() == [[255, 255]]


@pytest.mark.parametrize("name", SETS)
def test_the_index_keeps_no_hold_on_the_codes(name: str) -> None:
    codes = random_codes(300, 64)
    kept = codes.copy()
    index = CodeIndex(codes, instruction_set=name)
    codes[:] = 0
    assert index.nearest(kept[123:124]).ids.tolist() == [[123]]


@pytest.mark.parametrize("name", SETS)
def test_no_queries_no_answers(name: str) -> None:
    index = CodeIndex(random_codes(9, 4), instruction_set=name)
    assert index.nearest(random_codes(0, 4), 2).ids.shape == (0, 2)
    assert index.rank(random_codes(0, 4), 2, 1.0).probabilities.shape == (0, 2)


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        (random_codes(3, 4).astype(np.int8), {}, "codes must be uint8"),
        (random_codes(3, 4)[0], {}, "codes must be uint8"),
        ([[1, 2]], {}, "not list"),
        (random_codes(3, 0), {}, "0 bits"),
        (np.zeros((1, 8192), np.uint8), {}, "65536 bits"),
        (random_codes(0, 4), {}, "none of 0 codes"),
        (random_codes(2, 4), {"readable_from": 2}, "none of 2 codes"),
        (random_codes(2, 4), {"readable_from": -1}, "readable_from -1"),
        (random_codes(2, 4), {"instruction_set": "mmx"}, "no instruction set 'mmx'"),
    ],
)
def test_refused_codebooks(codes: Bytes, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodeIndex(codes, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SETS)
def test_refused_searches(name: str) -> None:
    index, queries = CodeIndex(random_codes(9, 4), 2, name), random_codes(1, 4)
    with pytest.raises(ValueError, match="queries have 40 bits, the codes 32"):
        index.nearest(random_codes(1, 5))
    with pytest.raises(ValueError, match="queries must be uint8"):
        index.nearest(queries.astype(np.float32))  # type: ignore[arg-type]
    for k in (0, 8, -1):
        with pytest.raises(ValueError, match="1 to 7 candidates"):
            index.nearest(queries, k)
    with pytest.raises(ValueError, match="threads is 0"):
        index.nearest(queries, threads=0)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature"):
            index.rank(queries, 1, temperature)
    with pytest.raises(ValueError, match="multiple of 8"):
        pack_signs(np.zeros((2, 12), np.float32), name)
    with pytest.raises(ValueError, match="float32"):
        pack_signs(np.zeros((2, 16)), name)  # type: ignore[arg-type]


@pytest.mark.skipif(backend.native is None, reason="no native extension")
def test_the_extension_checks_every_size() -> None:
    native = backend.native
    assert native is not None
    name, codes = SETS[0], random_codes(5, 4)
    blocks = np.empty(native.layout_bytes(name, 5, 4), np.uint8)
    native.lay_out(name, codes, 5, 4, blocks)
    ids, distances = np.empty((1, 2), np.int64), np.empty((1, 2), np.int32)
    good = [name, blocks, 5, 4, 0, codes[:1], 1, 2, ids, distances]
    native.nearest(*good)
    wrong = {
        0: ["mmx"], 1: [blocks[1:]], 2: [0, -1, 500, 2**62], 3: [0, -4, 5, 2**62],
        5: [codes, codes[0, :3]], 6: [0, 2, -1, 2**62], 7: [0, 1, 3, 6, 2**62],
        8: [ids[0, :1]], 9: [ids],
    }  # fmt: skip
    for place, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match=r"wrong size|no codebook|not that many|no instr"):
                native.nearest(*good[:place], value, *good[place + 1 :])
    with pytest.raises(ValueError, match="wrong size"):
        native.lay_out(name, codes, 5, 4, blocks[1:])
    with pytest.raises(ValueError, match="wrong size"):
        native.pack_signs(name, np.zeros(15, np.float32), np.empty(2, np.uint8))
