"""A model file's tensors: only those that are stored in our way, each once and whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hcompress.checkpoints.weights import read_tensors, stored_pieces
from hcompress.errors import InputRefused
from hcompress.formats.open import ModelFile
from tests import model_files as make

W = make.o_tensor("w", [2], bytes(8))


def file_of(folder: Path, *tensors: bytes) -> ModelFile:
    path = folder / "m.onnx"
    path.write_bytes(make.onnx_bytes(*tensors))
    return ModelFile(path)


def test_weights_and_their_scales_are_found_among_constants(tmp_path: Path) -> None:
    scale = make.o_tensor("w.scale", [2], bytes(8))
    constant = make.o_tensor("three", [1], bytes(4))
    file = file_of(tmp_path, constant, W, constant, scale)
    pieces = stored_pieces(file, {"w"})
    assert list(pieces) == ["w", "w.scale"]
    assert read_tensors(file, pieces)["w"].equal(torch.zeros(2))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ((W, W), "tensor w is there twice"),
        ((W, make.o_tensor("w", [2], b"\0\0\x80?" * 2)), "tensor w is there twice"),
        ((make.o_external("w", [2], location="w.bin"),), "tensor w is stored in no way of ours"),
        ((make.o_tensor("w", [2], bytes(1), 22),), "tensor w is stored in no way of ours"),
    ],
)
def test_what_no_file_of_ours_has(tensors: tuple[bytes, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    with pytest.raises(InputRefused, match=said):
        stored_pieces(file_of(tmp_path, *tensors), {"w"})


@pytest.mark.parametrize("lost", [1, 7, 8, 9])
def test_a_tensor_that_ends_behind_the_file(lost: int, tmp_path: Path) -> None:
    """What is not read of it would be what memory happened to hold."""
    file = file_of(tmp_path, W)
    piece = stored_pieces(file, {"w"})["w"]
    pieces = {"w": replace(piece, offset=piece.offset + lost)}  # as after a cut while it is read
    with pytest.raises(InputRefused, match=r"m\.onnx: ends inside of tensor w"):
        read_tensors(file, pieces)
