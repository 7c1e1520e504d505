"""A framework's encoder–decoder becomes a recogniser of ours that computes the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import load_checkpoint
from hcompress.cli import main
from hcompress.foreign.checkpoints.decoders import without_bias
from tests.foreign.checkpoints.encoder_decoders import Master, Nrtr, lively

CHARACTERS = "abcdefgh"
COUNT = len(CHARACTERS)
TEXTS = ["abc", "h", "gfedc"]
NEAR = 1e-4
MEANS = torch.tensor((0.694, 0.695, 0.693))[:, None, None]
STDS = torch.tensor((0.299, 0.296, 0.301))[:, None, None]


@pytest.fixture
def charset(tmp_path: Path) -> Path:
    path = tmp_path / "charset.txt"
    path.write_text(CHARACTERS)
    return path


def images(height: int, width: int) -> Tensor:
    rng = np.random.default_rng(4)
    return torch.from_numpy(rng.integers(0, 256, (len(TEXTS), height, width, 3), np.uint8))


def pixels(raw: Tensor) -> Tensor:
    return raw.permute(0, 3, 1, 2).float() / 255


def given(begin: int, first: int) -> Tensor:
    """What the framework's decoder is given: its BOS, then the text's ids."""
    ids = torch.full((len(TEXTS), max(map(len, TEXTS)) + 1), begin)
    for row, text in zip(ids, TEXTS, strict=True):
        row[1 : len(text) + 1] = torch.tensor([CHARACTERS.index(c) + first for c in text])
    return ids


def logits(path: Path, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Of the recogniser imported there, EOS first, and which count."""
    made = load_checkpoint(path)
    targets = made.model.targets(TEXTS, made.vocabulary, UnknownCharacter.REFUSE)
    with torch.inference_mode():
        h = made.model.features(made.model.encode(raw), targets)
        return made.model.head.logits(h)[..., 2:], targets.counted


def master(path: Path, linear: bool) -> nn.Module:
    module = lively(Master(COUNT, linear=linear))
    torch.save(module.state_dict(), path)
    return module


def nrtr(path: Path) -> nn.Module:
    module = lively(Nrtr(COUNT))
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, path)
    return module


@pytest.mark.parametrize("linear", [False, True])
def test_master_answers_as_doctr_does(
    tmp_path: Path, charset: Path, linear: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    module = master(tmp_path / "m.pt", linear)
    arch = ["--arch", "doctr-master-1.1"] if linear else []
    words = ["import", str(tmp_path / "m.pt"), "--charset", str(charset), *arch]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    raw = images(32, 32)
    with torch.inference_mode():
        wanted = module((pixels(raw) - MEANS) / STDS, given(COUNT + 1, 0))
    wanted = torch.cat([wanted[..., COUNT : COUNT + 1], wanted[..., :COUNT]], -1)
    found, counted = logits(tmp_path / "out", raw)
    assert (found - wanted)[counted].abs().max() < NEAR < wanted.std()


def test_nrtr_answers_as_openocr_does(
    tmp_path: Path, charset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = nrtr(tmp_path / "m.pth")
    words = ["import-decoder", str(tmp_path / "m.pth"), "--charset", str(charset), "--heads", "4"]
    words += ["--image-width", "32", "--max-steps", "9", "--out", str(tmp_path / "out")]
    assert main(words) == 0, capsys.readouterr().err
    raw = images(16, 32)
    with torch.inference_mode():
        wanted = module((pixels(raw) - 0.5) / 0.5, given(COUNT + 1, 1))
    found, counted = logits(tmp_path / "out", raw)
    assert (found - wanted)[counted].abs().max() < NEAR < wanted.std()


@pytest.mark.parametrize("which", ["master", "nrtr"])
def test_it_goes_through_all_of_hamming_ocr(
    which: str, tmp_path: Path, charset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # What export compares is the text that torch and ONNX Runtime read of these lines.
    data = tmp_path / "labels.tsv"
    for place in range(4):
        noise = np.random.default_rng(place).integers(0, 256, (32, 64, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{place}.png")
    data.write_text("".join(f"{place}.png\t{CHARACTERS}\n" for place in range(4)))
    if which == "master":
        master(tmp_path / "m.pt", False)
        steps = [["import", str(tmp_path / "m.pt"), "--charset", str(charset)]]
    else:
        nrtr(tmp_path / "m.pt")
        words = ["import-decoder", str(tmp_path / "m.pt"), "--charset", str(charset)]
        steps = [[*words, "--heads", "4", "--image-width", "32", "--max-steps", "9"]]
    steps += [
        ["codebook", "--method", "columns", "--code-length", "32"],
        ["replace-head"],
        ["slim-decoder"],
        ["half"],
        ["onnx", "--data", str(data), "--images", "4"],
    ]
    source = tmp_path
    sizes = []
    for place, words in enumerate(steps):
        into = tmp_path / str(place)
        taken = words if place == 0 else [words[0], str(source), *words[1:]]
        assert main([*taken, "--out", str(into)]) == 0, (words, capsys.readouterr().err)
        source = into
        sizes += [(into / "model.safetensors").stat().st_size] if words[0] != "onnx" else []
    assert sizes[-1] < sizes[0] / 2
    assert main(["read", str(source), str(tmp_path / "0.png")]) == 0, capsys.readouterr().err


def test_what_it_is_is_said_in_one_line(
    tmp_path: Path, charset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.pt"
    module = master(path, False)
    Image.new("RGB", (64, 32)).save(tmp_path / "a.png")
    short = tmp_path / "short.txt"
    short.write_text("abc")
    lost = {k: v for k, v in module.state_dict().items() if k != "decoder.layer_norm_input.bias"}
    torch.save(lost, tmp_path / "lost.pt")
    wider = {**module.state_dict(), "decoder.attention.0.output_linear.bias": torch.zeros(65)}
    torch.save(wider, tmp_path / "wider.pt")
    torch.save({"transformer.embed_tgt.weight": torch.zeros(9, 4)}, tmp_path / "viet.pth")
    out = ["--out", str(tmp_path / "out")]
    by = ["--charset", str(charset)]
    for words, code, said in (
        (["import", str(path), *out], 2, "doctr-master: say --charset FILE"),
        (["import", str(path), "--charset", str(short), *out], 3, "3 characters"),
        (["read", str(path), str(tmp_path / "a.png")], 3, "an encoder–decoder, doctr-master"),
        (["import", str(tmp_path / "lost.pt"), *by, *out], 3, '"decoder.layer_norm_input.bias"'),
        (["import", str(tmp_path / "wider.pt"), *by, *out], 3, "is [65]: does not go with"),
        (["import", str(tmp_path / "viet.pth"), *by, *out], 3, "VietOCR's"),
    ):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        assert main(words) == code, (words, capsys.readouterr().err)
        assert said in capsys.readouterr().err


def test_a_bias_goes_into_the_weight() -> None:
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(7, 16)), rng.normal(size=7)
    gain, shift = rng.uniform(-1, 1, 16), rng.normal(size=16)
    for still in (None, 3):
        if still is not None:
            gain[still] = 0  # a feature that never varies
        z = rng.normal(size=(5, 16))
        z -= z.mean(1, keepdims=True)
        whole, moved = without_bias(*(x.astype(np.float32) for x in (weight, bias, gain, shift)))
        wanted = (gain * z + shift) @ weight.T + bias
        assert np.abs((gain * z + moved) @ whole.T - wanted).max() < 1e-4
