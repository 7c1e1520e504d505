"""Corrections are gathered over blocks of columns, however many share a scale."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.compute.rounding import BLOCK, _blocks, rounded


@pytest.mark.parametrize(
    ("columns", "group"), [(96, 32), (192, 24), (200, 100), (512, 256), (7, 7)]
)
def test_blocks_follow_one_another_and_begin_with_groups(columns: int, group: int) -> None:
    found = _blocks(columns, group)
    assert [part.start for part in found] == [0, *(part.stop for part in found[:-1])]
    assert found[-1].stop == columns
    assert max(part.stop - part.start for part in found) <= BLOCK
    within = {at for part in found for at in range(part.start, part.stop, min(group, BLOCK))}
    assert set(range(0, columns, group)) <= within


def test_blocks_are_no_matter_to_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(30, 200)).astype(np.float32)
    inputs = rng.normal(size=(900, 200)) @ rng.normal(size=(200, 200)) / 20
    moment = inputs.T @ inputs
    made = rounded(weight, 4, 200, moment)
    monkeypatch.setattr("hcompress.compute.rounding.BLOCK", 1000)
    whole = rounded(weight, 4, 200, moment)
    np.testing.assert_allclose(made.units.astype(float), whole.units.astype(float), rtol=0.01)
    assert (made.values != whole.values).mean() < 1e-3  # sums in another order
