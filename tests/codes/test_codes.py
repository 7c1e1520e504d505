"""Codebooks: votes, repairs, packing, distances, and what a file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.checkpoints.codebook import codebook_bytes, read_codebook
from hcompress.codes.distances import distances, mean_distance, nearest_codes
from hcompress.codes.make import columns_of, make_codebook
from hcompress.codes.options import CodebookOptions, Method
from hcompress.codes.repair import separate
from hcompress.codes.report import codebook_report
from hcompress.codes.votes import Votes, projected, random_bits, random_projection, voted_bits
from hcompress.codes.whitened import Scatter, orthogonal_projection, whitened_projections
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.heads.hamming.codebook import Codebook, pack, unpack
from hcompress.spec.vocabulary import Vocabulary
from tests.builders import SMALL, recogniser

SEEDS = st.integers(0, 2**32 - 1)


def no_votes(vocabulary: int, length: int) -> Votes:
    """Votes for features that are projected already."""
    return Votes.none(vocabulary, np.eye(length, dtype=np.float32), lambda h: h.argmax(-1))


def made_from_columns(
    teacher: Checkpoint, min_distance: float = 1 / 64
) -> tuple[Codebook, dict[str, Any]]:
    """256 bits a character, and the report."""
    options = CodebookOptions(Method.COLUMNS, 256, min_distance, seed=7)
    codebook, *figures = make_codebook(columns_of(teacher.model), None, options)
    return codebook, codebook_report(codebook.codes, *figures, teacher.vocabulary)


@given(SEEDS, st.integers(1, 40))
@settings(max_examples=30)
def test_votes_do_not_depend_on_how_features_are_cut(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    projected = rng.standard_normal((60, 8), dtype=np.float32)
    ids, right = rng.integers(0, 5, 60), rng.integers(0, 2, 60).astype(bool)
    whole, parts = no_votes(5, 8), no_votes(5, 8)
    whole.count(projected, ids, right)
    for start in reversed(range(0, 60, cut)):
        rows = slice(start, start + cut)
        parts.count(projected[rows], ids[rows], right[rows])
    for field in ("sums", "seen", "right"):
        assert (getattr(whole, field) == getattr(parts, field)).all()


def test_a_vote_is_the_papers_majority() -> None:
    votes = no_votes(4, 8)
    rng = np.random.default_rng(0)
    features = rng.standard_normal((7, 8), dtype=np.float32)
    votes.count(features, np.full(7, 3), np.ones(7, bool))
    bits, sure, _ = voted_bits(votes, np.zeros((4, 8)))
    ayes = (features >= 0).sum(0)
    assert (bits[3] == (ayes > 7 / 2)).all()
    assert sure[3] == pytest.approx(np.abs(2 * ayes - 7) / 7)


def test_a_feature_votes_by_its_side_of_every_plane() -> None:
    rng = np.random.default_rng(0)
    projection = random_projection(5, 16, 0)
    features, ids = torch.from_numpy(rng.standard_normal((9, 5), np.float32)), torch.arange(9) % 4
    votes = Votes.none(4, projection, lambda h: (h[:, 0] > 0).long())
    votes.add(features, ids)
    expected = no_votes(4, 16)
    right = (features[:, 0] > 0).long() == ids
    expected.count((features @ torch.from_numpy(projection)).numpy(), ids.numpy(), right.numpy())
    for mine, theirs in zip(votes.whole_numbers, expected.whole_numbers, strict=True):
        assert (mine == theirs).all()
    assert votes.right.sum() == right.sum() > 0


def test_zero_counts_as_plus_one() -> None:
    votes = no_votes(1, 8)
    votes.count(np.zeros((1, 8), np.float32), np.array([0]), np.array([True]))
    assert (votes.sums == 1).all()
    bits, _, _ = voted_bits(no_votes(1, 8), np.zeros((1, 8)))
    assert bits.all()


def test_ties_unseen_and_never_right_take_the_fallback_and_are_reported() -> None:
    votes = no_votes(4, 8)
    up, down = np.ones((1, 8), np.float32), -np.ones((1, 8), np.float32)
    for row in (up, down):  # character 1: every bit a tie
        votes.count(row, np.array([1]), np.array([True]))
    votes.count(down, np.array([2]), np.array([False]))  # never read right
    votes.count(down, np.array([3]), np.array([True]))
    fallback = np.tile(np.array([3.0, -4.0] * 4), (4, 1))
    bits, sure, repairs = voted_bits(votes, fallback)
    assert (repairs.unseen, repairs.never_right, repairs.tied_bits) == ((0,), (2,), 8)
    assert (bits[:3] == (fallback[:3] > 0)).all()
    assert not bits[3].any()
    # As sure as what made them: the columns, a vote that is tied, and one that isn't.
    assert (sure == [[3, 4] * 4, [0] * 8, [3, 4] * 4, [1] * 8]).all()


@given(SEEDS, st.sampled_from([8, 16, 64]), st.integers(2, 200))
@settings(max_examples=40)
def test_separated_codes_are_distinct_and_the_rest_untouched(
    seed: int, length: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    few = rng.integers(0, 2, (max(1, count // 4), length)).astype(bool)
    bits = few[rng.integers(0, len(few), count)]
    changed, pairs = separate(bits, rng.random((count, length)))
    assert len(np.unique(changed, axis=0)) == count
    touched = {index for index, _ in pairs}
    for index in range(count):
        assert index in touched or (changed[index] == bits[index]).all()
    assert all(kept < index for index, kept in pairs)


def test_a_collision_flips_the_least_certain_bits() -> None:
    bits = np.zeros((2, 128), bool)
    margins = np.ones((2, 128))
    margins[1, [5, 77]] = 0.1
    changed, pairs = separate(bits, margins)
    assert pairs == ((1, 0),)
    assert np.flatnonzero(changed[1]).tolist() == [5, 77]


def test_too_few_codes_are_refused() -> None:
    with pytest.raises(InputRefused, match="256 codes"):
        separate(np.zeros((300, 8), bool), np.zeros((300, 8)))
    full, _ = separate(np.zeros((256, 8), bool), np.zeros((256, 8)))
    assert len(np.unique(full, axis=0)) == 256


@given(SEEDS, st.integers(1, 12), st.integers(1, 9))
def test_packing(seed: int, count: int, bytes_each: int) -> None:
    bits = random_bits(count, bytes_each * 8, seed)
    packed = pack(bits)
    assert packed.shape == (count, bytes_each)
    assert (unpack(packed) == bits).all()
    for place in range(bytes_each * 8):
        assert ((packed[:, place // 8] >> (place % 8) & 1) == bits[:, place]).all()


@given(SEEDS, st.integers(2, 150), st.sampled_from([1, 3, 8, 17]))
@settings(max_examples=25)
def test_distances_and_neighbours_against_counting(seed: int, count: int, width: int) -> None:
    bits = random_bits(count, width * 8, seed)
    packed = pack(bits)
    counted = (bits[:, None] != bits[None]).sum(-1)
    assert (distances(packed, packed) == counted).all()
    off = ~np.eye(count, dtype=bool)
    assert mean_distance(packed) == pytest.approx(counted[off].mean())
    nearest = nearest_codes(packed, 5)
    for index in range(count):
        others = sorted((counted[index, j], j) for j in range(count) if j != index)[:5]
        assert list(zip(nearest.distances[index], nearest.ids[index], strict=True)) == others


def test_of_equal_codes_a_code_itself_is_left_out() -> None:
    nearest = nearest_codes(pack(np.zeros((9, 16), bool)), 3)
    assert nearest.ids[[0, 2, 8]].tolist() == [[1, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert not nearest.distances.any()


def test_a_codebook_file_comes_back_and_fits_one_charset(tmp_path: Path) -> None:
    vocabulary, path = Vocabulary("abc"), tmp_path / "codebook.safetensors"
    codebook = Codebook(pack(random_bits(6, 64, 0)), random_projection(32, 64, 0))
    data = codebook_bytes(codebook, vocabulary)
    turned = Codebook(*map(np.asfortranarray, (codebook.codes, codebook.projection)))
    assert data == codebook_bytes(codebook, vocabulary) == codebook_bytes(turned, vocabulary)
    path.write_bytes(data)
    found = read_codebook(path, vocabulary, 32)
    assert (found.codes == codebook.codes).all()
    assert (found.projection == codebook.projection).all()
    for other, width in ((Vocabulary("abd"), 32), (vocabulary, 16)):
        with pytest.raises(InputRefused):
            read_codebook(path, other, width)
    path.write_bytes(data[:-1])
    with pytest.raises(InputRefused):
        read_codebook(path, vocabulary, 32)
    with pytest.raises(UsageError):
        read_codebook(tmp_path / "none.safetensors", vocabulary, 32)


def test_projections_are_the_same_everywhere() -> None:
    first = random_projection(4, 8, 7)
    assert (first == random_projection(4, 8, 7)).all()
    assert first[0, :3].tolist() == pytest.approx([1.521969, -1.144106, 1.150162])


def test_columns_that_are_nearly_equal_get_codes_that_are_apart() -> None:
    teacher = recogniser(SMALL)
    columns = teacher.model.classifier.weight
    with torch.no_grad():
        columns[9] = columns[7] + 0.04 * columns[8]
        columns[11] = columns[7]
    made, report = made_from_columns(teacher)
    name = teacher.vocabulary.name
    assert report["collisions"]["pairs"] == [[name(11), name(7)]]
    near = report["near_collisions"]
    assert near["apart"] == 4
    assert near["pairs"][0] == [name(9), name(7), 3]
    # The bits that part 7 and 11 are those that 7 and 9 are not sure of either.
    assert (near["found"], near["resolved"]) == (2, 2)
    assert nearest_codes(made.codes, 1).distances.min() >= 4


def test_bits_that_part_column_codes_are_those_nearest_to_either_side() -> None:
    """Of the character that gives way: where |Psi^T w| is smallest."""
    teacher = recogniser(SMALL)
    columns = teacher.model.classifier.weight
    with torch.no_grad():
        columns[11] = columns[7]
    made, _ = made_from_columns(teacher)
    sides = columns[7].detach().double().numpy() @ random_projection(32, 256, 7)
    flipped = np.flatnonzero(np.diff(unpack(made.codes)[[7, 11]], axis=0))
    assert sorted(flipped) == sorted(np.argsort(np.abs(sides))[:4])


def test_codes_are_as_far_apart_as_asked_for() -> None:
    teacher = recogniser(SMALL)
    found = {}
    for min_distance in (1 / 64, 0.375):
        made, report = made_from_columns(teacher, min_distance)
        found[min_distance] = int(nearest_codes(made.codes, 1).distances.min())
    assert found[1 / 64] < 96 <= found[0.375]
    assert report["near_collisions"]["apart"] == 96


def labelled(seed: int, count: int = 400, characters: int = 12, width: int = 6):  # type: ignore[no-untyped-def]
    """Means, and features around them that scatter far more in some directions than in others."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.standard_normal((width, width)))[0]
    spread = turned * np.geomspace(4, 0.2, width)
    means = rng.standard_normal((characters, width))
    ids = rng.integers(0, characters, count)
    features = means[ids] + rng.standard_normal((count, width)) @ spread.T
    return means, spread @ spread.T, features.astype(np.float32), ids


def scatter_of(features: np.ndarray, ids: np.ndarray, characters: int, cut: int) -> Scatter:  # type: ignore[type-arg]
    scatter = Scatter.none(characters, features.shape[1])
    for start in reversed(range(0, len(ids), cut)):
        rows = slice(start, start + cut)
        scatter.add(torch.from_numpy(features[rows]), torch.from_numpy(ids[rows]))
    return scatter


@given(SEEDS, st.integers(1, 90))
@settings(max_examples=20)
def test_scatter_is_the_same_bits_however_features_are_cut(seed: int, cut: int) -> None:
    _, _, features, ids = labelled(seed)
    whole, parts = (scatter_of(features, ids, 12, size) for size in (400, cut))
    for field in ("moment", "sums", "seen"):
        assert (getattr(whole, field) == getattr(parts, field)).all()
    assert whole.within().tobytes() == parts.within().tobytes()


def test_scatter_is_the_covariance_around_each_characters_mean() -> None:
    _, covariance, features, ids = labelled(3, count=40_000)
    found = scatter_of(features, ids, 12, 40_000)
    rest = features - np.stack([features[ids == i].mean(0) for i in range(12)])[ids]
    assert found.within() == pytest.approx(rest.T @ rest / (40_000 - 12), abs=1e-2)
    assert found.within() == pytest.approx(covariance, rel=0.1, abs=0.1)
    assert found.mean_square() == pytest.approx(features.T @ features / 40_000, abs=1e-2)


def test_too_few_repeated_characters_tell_no_scatter() -> None:
    features = labelled(0, count=12 + 5, width=6)[2]
    with pytest.raises(InputRefused, match="too few for whitened codes"):
        scatter_of(features, np.arange(17) % 12, 12, 17).within()
    assert scatter_of(features, np.arange(17) % 11, 12, 17).within().shape == (6, 6)


@pytest.mark.parametrize("scale", [0.0, 1e-4, np.nan])
def test_features_that_hardly_scatter_are_refused(scale: float) -> None:
    _, _, features, ids = labelled(0)
    scatter = scatter_of(features * np.float32(scale), ids, 12, 400)
    with pytest.raises(NumericalError, match="features of one character scatter"):
        whitened_projections(scatter, 16, 7)


@given(SEEDS, st.integers(1, 9), st.integers(1, 30))
@settings(max_examples=20)
def test_orthogonal_projections(seed: int, width: int, code_length: int) -> None:
    found = orthogonal_projection(width, code_length, seed)
    assert (found == orthogonal_projection(width, code_length, seed)).all()
    assert found.shape == (width, code_length)
    for start in range(0, code_length, width):
        block = found[:, start : start + width]
        assert block.T @ block == pytest.approx(np.eye(block.shape[1]), abs=1e-9)


def test_whitened_codes_name_characters_where_plain_column_codes_do_not() -> None:
    """The softmax's own answer, w = inverse(S) m, is what both are made from."""
    means, covariance, features, ids = labelled(5, count=4000, characters=40, width=16)
    columns = np.linalg.solve(covariance, means.T).T.astype(np.float32)
    scatter = scatter_of(features, ids, 40, 512)
    for_columns, for_features = whitened_projections(scatter, 512, 7)
    plain = random_projection(16, 512, 7)
    right = {}
    for name, codes, projection in (
        ("plain", projected(columns, plain) >= 0, plain),
        ("whitened", projected(columns, for_columns) >= 0, for_features),
    ):
        logits = features @ projection
        nearest = distances(pack(logits >= 0), pack(codes)).argmin(1)
        right[name] = float((nearest == ids).mean())
    assert right["whitened"] > 0.9 > 0.7 > right["plain"]
    # As large as Psi's at the start, so that a margin means the same.
    assert (features @ for_features).std() == pytest.approx((features @ plain).std(), rel=0.1)


def test_whitened_codes_need_data() -> None:
    options = CodebookOptions(Method.WHITENED, 64, 1 / 64, seed=7)
    with pytest.raises(UsageError, match="method = whitened needs data"):
        make_codebook(columns_of(recogniser(SMALL).model), None, options)


def test_codes_fill_whole_bytes() -> None:
    with pytest.raises(UsageError, match="code_length 12 must be a multiple of 8"):
        CodebookOptions(Method.COLUMNS, 12, 1 / 64, seed=7)
