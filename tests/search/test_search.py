"""The nearest code: every instruction set this machine has, against a naive search."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hcompress import doctor
from hcompress.search import CodeIndex, instruction_sets, pack_signs

SETS = instruction_sets()
Bytes = NDArray[np.uint8]


def naive_distances(codes: Bytes, queries: Bytes) -> NDArray[np.int32]:
    """[N, V], from unpacked bits: agreement of signs, as the recogniser's product has it."""
    ones, asked = (np.unpackbits(a, axis=1).astype(np.float32) * 2 - 1 for a in (codes, queries))
    return ((codes.shape[1] * 8 - asked @ ones.T) / 2).astype(np.int32)


def naive(
    codes: Bytes, queries: Bytes, k: int, first: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    apart = naive_distances(codes[first:], queries)
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return order + first, np.take_along_axis(apart, order, 1)


def softmax(
    codes: Bytes, queries: Bytes, ids: NDArray[np.int64], temperature: float, first: int
) -> NDArray[np.float64]:
    scaled = -naive_distances(codes[first:], queries) / temperature
    chances = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.take_along_axis(chances / chances.sum(1, keepdims=True), ids - first, 1)


def random_codes(count: int, width: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (count, width), dtype=np.uint8)


@dataclass(frozen=True)
class Case:
    codes: Bytes
    queries: Bytes
    k: int
    first: int
    temperature: float


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Codebooks random and hostile, and queries near to them, far from them, and opposite."""
    width = draw(st.integers(1, 256) | st.sampled_from([1, 4, 30, 31, 60, 61, 64]))
    count = draw(st.integers(1, 400) | st.sampled_from([127, 128, 129, 3000]))
    asked = draw(st.integers(0, 9) | st.sampled_from([31, 32, 33, 70]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    codes = rng.integers(0, 256, (count, width), dtype=np.uint8)
    kind = draw(st.sampled_from(["random", "duplicates", "equal", "zeros", "ones", "falling"]))
    if kind == "duplicates":
        codes = codes[rng.integers(0, min(count, 3), count)]
    elif kind == "equal":
        codes[:] = codes[0]
    elif kind == "falling":
        # To a query of zeros, each code is nearer than all before it.
        bits = np.linspace(1, 0, count)[:, None] > np.linspace(0, 1, width * 8)
        codes = np.packbits(bits, axis=1)
    elif kind in ("zeros", "ones"):
        codes[:] = 255 if kind == "ones" else 0
    queries = rng.integers(0, 256, (asked, width), dtype=np.uint8)
    for row in range(asked):
        like = rng.integers(0, 5)
        if like == 0:
            queries[row] = codes[rng.integers(count)]
        elif like == 1:
            queries[row] = ~codes[rng.integers(count)]
        elif like == 2:
            queries[row] = rng.choice([0, 255])
    first = draw(st.integers(0, min(3, count - 1)))
    k = draw(st.integers(1, min(8, count - first)) | st.integers(1, count - first))
    temperature = draw(st.floats(0.001, 1e4) | st.sampled_from([1.0, 4.0, 16.0]))
    return Case(codes, queries, k, first, temperature)


@given(cases())
@settings(max_examples=120)
def test_every_set_finds_what_a_naive_search_finds(case: Case) -> None:
    ids, distances = naive(case.codes, case.queries, case.k, case.first)
    expected = softmax(case.codes, case.queries, ids, case.temperature, case.first)
    chances = []
    for name in SETS:
        index = CodeIndex(case.codes, case.first, name)
        found = index.nearest(case.queries, case.k)
        np.testing.assert_array_equal(found.ids, ids, err_msg=name)
        np.testing.assert_array_equal(found.distances, distances, err_msg=name)
        ranked = index.rank(case.queries, case.k, case.temperature)
        np.testing.assert_array_equal(ranked.ids, ids, err_msg=name)
        np.testing.assert_array_equal(ranked.distances, distances, err_msg=name)
        np.testing.assert_allclose(ranked.probabilities, expected, rtol=0, atol=1e-6, err_msg=name)
        chances.append(ranked.probabilities)
    for other in chances[:-2]:
        np.testing.assert_array_equal(other, chances[-2])


@pytest.mark.parametrize("name", SETS)
def test_every_code_length(name: str) -> None:
    for width in range(1, 257):
        codes, queries = random_codes(150, width, width), random_codes(3, width, width + 999)
        queries[1], queries[2] = codes[140], ~codes[7]
        found = CodeIndex(codes, instruction_set=name).nearest(queries, 2)
        ids, distances = naive(codes, queries, 2)
        np.testing.assert_array_equal(found.ids, ids)
        np.testing.assert_array_equal(found.distances, distances)
        assert found.distances[1, 0] == 0


@pytest.mark.parametrize("name", SETS)
def test_the_longest_code(name: str) -> None:
    codes = np.zeros((3, 8191), np.uint8)
    codes[1] = 255
    found = CodeIndex(codes, instruction_set=name).nearest(~codes[:1], 3)
    assert found.ids.tolist() == [[1, 0, 2]]
    assert found.distances.tolist() == [[0, 65528, 65528]]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("k", [1, 5, 70_000 - 2])
def test_seventy_thousand_characters(name: str, k: int) -> None:
    codes = random_codes(70_000, 8)
    codes[69_000:] = codes[:1000]
    queries = codes[[2, 69_500, 69_999]]
    ids, distances = naive(codes, queries, k, 2)
    index = CodeIndex(codes, 2, name)
    assert len(index) == 70_000
    found = index.nearest(queries, k)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)
    ranked = index.rank(queries, k, 16.0)
    np.testing.assert_array_equal(ranked.ids, ids)
    expected = softmax(codes, queries, ids, 16.0, 2)
    np.testing.assert_allclose(ranked.probabilities, expected, rtol=0, atol=1e-6)


def test_probabilities_are_the_recognisers() -> None:
    torch = pytest.importorskip("torch")
    from hcompress.heads.hamming.module import hamming_scores, signs_of
    from tests.special import FIRST_READABLE

    rng = np.random.default_rng(3)
    bits = rng.standard_normal((500, 128)).astype(np.float32)
    # Like trained features: each near to some code.
    logits = bits[rng.integers(0, 500, 20)] + rng.standard_normal((20, 128), dtype=np.float32)
    scores = hamming_scores(torch.from_numpy(logits), signs_of(torch.from_numpy(bits)))
    scores[:, :FIRST_READABLE] = float("-inf")
    index = CodeIndex(pack_signs(bits), FIRST_READABLE)
    for temperature in (0.5, 4.0, 16.0):
        ranked = index.rank(pack_signs(logits), 5, temperature)
        chances = torch.softmax(scores / temperature, -1).numpy()
        order = torch.sort(scores, dim=-1, descending=True, stable=True).indices[:, :5].numpy()
        np.testing.assert_array_equal(ranked.ids, order)
        expected = np.take_along_axis(chances, order, 1)
        np.testing.assert_allclose(ranked.probabilities, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SETS)
def test_signs(name: str) -> None:
    hostile = [0.0, -0.0, 1e-45, -1e-45, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0]
    rng = np.random.default_rng(1)
    for count, length in ((0, 8), (1, 8), (7, 16), (3, 2048), (1000, 512)):
        logits = rng.choice(hostile, (count, length)).astype(np.float32)
        packed = pack_signs(logits, name)
        expected = np.packbits(logits >= 0, axis=1, bitorder="little")
        np.testing.assert_array_equal(packed, expected)
    np.testing.assert_array_equal(
        pack_signs(logits[:, ::2], name), pack_signs(logits[:, ::2].copy())
    )


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_threads_change_nothing(name: str, threads: int) -> None:
    index = CodeIndex(random_codes(500, 33), 2, name)
    for count in (1, 127, 128, 400):
        queries = random_codes(count, 33, 5)
        one, more = (index.rank(queries, 4, 9.0, threads=n) for n in (1, threads))
        for expected, given_ in zip(one, more, strict=True):
            assert expected.tobytes() == given_.tobytes()


@pytest.mark.parametrize("name", SETS)
def test_many_may_search_at_once(name: str) -> None:
    codes = random_codes(2000, 64)
    index = CodeIndex(codes, instruction_set=name)

    def work(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        good = True
        for _ in range(15):
            ids = rng.integers(0, 2000, 20)
            # The temperature's table is shared: change it all the time.
            ranked = index.rank(codes[ids], 2, float(rng.integers(1, 10)))
            good &= bool((ranked.ids[:, 0] == ids).all() and (ranked.distances[:, 0] == 0).all())
            good &= bool((ranked.probabilities[:, 0] > 0.4).all())
        return good

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(12)))


@pytest.mark.parametrize("name", SETS)
def test_limits_for_benchmarks(name: str) -> None:
    index = CodeIndex(random_codes(300, 64), 0, name)
    if name == "numpy":
        with pytest.raises(ValueError, match="native"):
            index.reach_limit()
        return
    index.reach_limit()
    index.reach_limit(4)
    with pytest.raises(ValueError, match="no blocks"):
        index.reach_limit(-1)


def test_without_the_extension_numpy_searches() -> None:
    code = """
import sys
sys.modules["hcompress.search._native"] = None
import numpy as np
from hcompress.search import CodeIndex, instruction_sets, pack_signs
from hcompress.search.backend import description
assert instruction_sets() == ("numpy",)
codes = np.arange(40, dtype=np.uint8).reshape(10, 4)
index = CodeIndex(codes, 2)
assert index.instruction_set == "numpy"
assert index.nearest(codes[5:6]).ids.tolist() == [[5]]
assert index.rank(codes[5:6], 3, 1.0).probabilities[0, 0] > 0.5
assert pack_signs(np.ones((1, 8), np.float32)).tolist() == [[255]]
print(description())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("numpy, several times slower: no native extension (not built")


def test_the_doctor_says_which_search_is_in_use() -> None:
    found = doctor.examine()
    assert found["search"]["instruction_sets"] == list(SETS)
    row = dict(map(tuple, doctor.summary_rows(found)))["search"]  # type: ignore[arg-type]
    assert SETS[0] in row
