"""The likeliest path of a label, against every path there is."""

from __future__ import annotations

from itertools import groupby, product

import pytest
import torch

from hcompress.recognisers.ctc.alignment import (
    Labels,
    aligned,
    ctc_loss,
    row_sums,
    sampled_sums,
)

LABELS = [[1, 2], [1, 1], [], [2, 1, 2]]


def labels() -> Labels:
    lengths = torch.tensor([len(label) for label in LABELS])
    ids = torch.tensor([label + [0] * (3 - len(label)) for label in LABELS])
    return Labels(ids, lengths, 0)


def collapsed(path: tuple[int, ...]) -> list[int]:
    return [key for key, _ in groupby(path) if key]


def paths(label: list[int], steps: int) -> list[tuple[int, ...]]:
    return [path for path in product(range(3), repeat=steps) if collapsed(path) == label]


def test_the_path_is_the_likeliest_of_all() -> None:
    scores = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(3))
    ids, found = aligned(scores, labels())
    assert found.all()
    for line, label in enumerate(LABELS):
        known = {
            path: sum(float(scores[line, step, i]) for step, i in enumerate(path))
            for path in paths(label, 5)
        }
        assert tuple(ids[line].tolist()) == max(known, key=lambda path: known[path])


def test_the_loss_sums_over_all_paths() -> None:
    scores = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(4))
    loss = ctc_loss(row_sums(scores, labels().columns()), labels())
    chances = scores.softmax(-1)
    for line, label in enumerate(LABELS):
        ways = [
            torch.stack([chances[line, step, i] for step, i in enumerate(path)]).prod()
            for path in paths(label, 4)
        ]
        assert float(torch.stack(ways).sum().log()) == pytest.approx(-float(loss[line]), abs=1e-4)


def test_a_label_too_long_for_its_columns_has_no_path() -> None:
    scores = torch.zeros(4, 2, 3)
    _, found = aligned(scores, labels())
    assert found.tolist() == [True, False, True, False], "equal letters need a blank between"
    assert ctc_loss(row_sums(scores, labels().columns()), labels())[[1, 3]].tolist() == [0, 0]


def test_the_loss_and_its_gradient_are_torchs() -> None:
    scores = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(5)).requires_grad_()
    mine = ctc_loss(row_sums(scores, labels().columns()), labels())
    (found,) = torch.autograd.grad(mine.sum(), scores)
    theirs = torch.nn.functional.ctc_loss(
        scores.log_softmax(-1).transpose(0, 1), labels().ids, torch.full((4,), 6),
        labels().lengths, reduction="none",
    )  # fmt: skip
    (expected,) = torch.autograd.grad(theirs.sum(), scores)
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(found, expected)


def test_equal_ids_are_one_column() -> None:
    near, known = labels().among_columns()
    assert near.ids.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 0], [1, 2, 1]]
    assert known.int().tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]


def test_all_other_classes_drawn_are_all_classes() -> None:
    """What stands for the others is weighed by how many they are."""
    scores = torch.randn(4, 6, 9, generator=torch.Generator().manual_seed(6))
    columns = labels().columns()
    near = torch.unique(columns)
    others = torch.tensor([i for i in range(9) if i not in near.tolist()])
    whole = row_sums(scores, columns)
    for drawn in (others, others.repeat(3)):
        some = sampled_sums(scores[..., near], scores[..., drawn], near, columns, 9)
        torch.testing.assert_close(some.total, whole.total)
        torch.testing.assert_close(some.along, whole.along)
