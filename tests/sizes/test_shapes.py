"""A checkpoint's classifier, known by its shape."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hcompress import sizes
from hcompress.foreign.parts import parts_of
from hcompress.formats.open import ModelFile

BODY = {"conv.weight": torch.zeros(32, 1, 3, 3), "neck.rnn.weight_ih_l0": torch.zeros(64, 8)}


def saved(folder: Path, suffix: str, tensors: dict[str, torch.Tensor]) -> ModelFile:
    path = folder / f"model{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": tensors}, path)
    else:
        save_file(tensors, path)
    return ModelFile(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("shape", [(900, 16), (16, 900)])
def test_a_matrix_onto_classes_and_their_vector(
    suffix: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    last = {"linear_8.w_0": torch.zeros(shape), "linear_8.b_0": torch.zeros(900)}
    file = saved(tmp_path, suffix, {**BODY, **last})
    parts = parts_of(file)
    assert sizes.breakdown(file, parts.groups).component("classifier").bytes == 4 * 17 * 900
    assert len(parts.remarks) == 1
    assert "guessed by shape" in parts.remarks[0]
    assert "900 classes" in parts.remarks[0]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_classifier(suffix: str, tmp_path: Path) -> None:
    """A name says another; a square; no vector, or one of another length; the smaller of two."""
    named = {"fc.weight": torch.zeros(9, 8), "w.a": torch.zeros(900, 16), "w.b": torch.zeros(900)}
    for tensors, classifier in (
        (named, 4 * 9 * 8),
        ({"w.a": torch.zeros(64, 64), "w.b": torch.zeros(64)}, 0),
        ({"w.a": torch.zeros(900, 16)}, 0),
        ({"w.a": torch.zeros(900, 16), "w.b": torch.zeros(16)}, 0),
        ({"w.a": torch.zeros(900, 16), "x.b": torch.zeros(900)}, 0),
        (
            {
                "w.a": torch.zeros(900, 16), "w.b": torch.zeros(900),
                "x.a": torch.zeros(100, 16), "x.b": torch.zeros(100),
            },
            4 * 17 * 900,
        ),
    ):  # fmt: skip
        file = saved(tmp_path, suffix, {**BODY, **tensors})
        parts = parts_of(file)
        found = sizes.breakdown(file, parts.groups)
        assert found.component("classifier").bytes == classifier, tensors
        if found.component("other").bytes > 100:
            assert any(line.startswith("other: ") for line in parts.remarks)
