"""The bytes of what is written, pinned: what a change of the code must not change.

Weights are eighths of small whole numbers by a formula; the grid has one place and a line one
step. All that is computed of them is what IEEE arithmetic leaves no choice in: no sum whose order
a library picks, no sine but that of zero. So the digests are every machine's.

They were made by this very code on the tree as it was before heads and recognisers had contracts,
under its names: `RecogniserConfig.from_dict` for `config_from_flat`, `Recogniser` for `build`,
`export.forms.portable`, `encoder` and `decoder_step` for the graphs, and for the codebooks a model
with `COLUMNS` as its softmax. A digest that differs means that users' files will.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hcompress.checkpoints.codebook import codebook_bytes
from hcompress.codes.make import make_codebook
from hcompress.codes.options import CodebookOptions, Method
from hcompress.codes.votes import projected, random_projection
from hcompress.compute.quantised import MAX_ABS, Quantised, quantised
from hcompress.recognisers.build import build
from hcompress.spec.flat import config_from_flat
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.vocabulary import Vocabulary

VOCABULARY = Vocabulary("一丁七不且丗")
HERE = Provenance("half", "ab" * 32)
BASE: dict[str, Any] = {
    "backbone_width": 0.05, "width": 8, "heads": 2, "ffn_width": 12, "depth": 2, "max_steps": 1,
    "temperature": 1.5, "preprocessing": {"height": 8, "width": 4},
}  # fmt: skip
SLIM = {"ffn": False, "shared_layers": True, "batch_norm": "folded"}
HAMMING = {"classifier": "hamming", "code_length": 16}
CODED = {**SLIM, **HAMMING, "embedding": "hamming"}
KINDS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "factorised": {"classifier_bottleneck": 3, "embedding_bottleneck": 2},
    "hamming": CODED,
    "reranked": {**CODED, "refined": True},
    "hamming classifier": {**HAMMING, "embedding_bottleneck": 4},
    "hamming embedding": {"embedding": "hamming", "code_length": 24, **SLIM},
    "resnet31": {**CODED, "backbone": "resnet31", "backbone_width": 0.02},
}
FILES = ("checkpoint", "portable", "encoder", "step")
WEIGHTS = ("fp32", "fp16", "int8")
PINS: dict[str, tuple[str, ...]] = {
    "softmax fp32": ("da738e0073ba", "be5cbebd3151", "e31735c9b2b9", "33ab915f59f5"),
    "softmax fp16": ("873b757de9ed", "aa702c72e4a3", "a84eec87c1c0", "61f660837246"),
    "softmax int8": ("dc6735edbd0e", "037c87cd8f44", "b2106807f82a", "8af74b030d6a"),
    "factorised fp32": ("71b4e6a229b6", "7c092dc6d9f5", "d87a0eaafb01", "0dc93e6d27e8"),
    "factorised fp16": ("f3d0ee1274f1", "4586dc2870fa", "863e257b803b", "02e2eb50a8d2"),
    "factorised int8": ("afc13660fe7e", "d4d625d5df0c", "ceca27310a09", "b7b16a87c532"),
    "hamming fp32": ("3d30a3a7cce5", "cd8bcdb217ea", "8193b0c8492a", "ef429c0489c6"),
    "hamming fp16": ("7be24dddb736", "0be2aa756cef", "efc8ba7b32a9", "542f36f53a40"),
    "hamming int8": ("e4ede999ca85", "06ab65deefce", "d1a17fcde554", "58a7a1dc65c9"),
    "reranked fp32": ("a6e2a8ffec4c", "5dc60a7cb451", "1a54a56df886", "f02a4f3f83be"),
    "reranked fp16": ("768a7e941814", "c80c824c082f", "0301eae3922e", "9da08f1c7f62"),
    "reranked int8": ("70c1765cf490", "8eb634c89583", "459edb0f1646", "37c2206e9b8c"),
    "hamming classifier fp32": ("9fb78b6f8a03", "649ee9696508", "f19a082bdd58", "f20d488b9dc1"),
    "hamming classifier fp16": ("4c89b4359939", "fee924a52696", "3b405b555b97", "7805373937a3"),
    "hamming classifier int8": ("dc1590a54c44", "2c7c0f1959fd", "3dd00c951712", "43e900d5d1ef"),
    "hamming embedding fp32": ("0d1b2b4b910d", "22acbb437573", "c70384ff6244", "e1e1c7aa4901"),
    "hamming embedding fp16": ("58f6a6ac5ae3", "f5550259dad4", "0dbae01911da", "c8350f132372"),
    "hamming embedding int8": ("03b6cb81cc76", "162f945e7c3d", "f09480c8a35e", "85078d45ac56"),
    "resnet31 fp32": ("51d0317b8efa", "3629a07d8c4a", "a85345c9425a", "22fdb05d81d3"),
    "resnet31 fp16": ("858b7eeabf5b", "3453a211274e", "f8b2ba505ea4", "2c6fb6aab98a"),
    "resnet31 int8": ("ed819e896d64", "280f1f3e436c", "d6683b991621", "a200481022ee"),
}
"""The first digits of the SHA-256 of each of `FILES`."""

HEADER = (
    '{"charset":"eNpr2MHExCLCxwYACZQBaQ==","config":{"backbone":"mobilenet_v2","backbone_widt'
    'h":0.05,"batch_norm":"folded","classifier":"hamming","code_length":16,"depth":2,"embeddi'
    'ng":"hamming","ffn":false,"ffn_width":12,"heads":2,"max_steps":1,"preprocessing":{"chann'
    'els":3,"height":8,"mean":0.5,"std":0.5,"width":4},"refined":true,"shared_layers":true,"t'
    'emperature":1.5,"weights":"int8","width":8},"format":1,"provenance":{"parent":"ababababa'
    'bababababababababababababababababababababababababababab","stage":"half"}}'
)
COLUMNS = np.array(
    [[(v * 7 + f * 5 + v * f * 3) % 17 - 8 for f in range(8)] for v in range(9)], "f4"
)
COLUMNS[5] = COLUMNS[2]
"""Small whole numbers, two rows of them the same: one code must move."""
CODEBOOKS = {Method.COLUMNS: "c7cf70ea0f4c", Method.RANDOM: "83818a9256f1"}


def numbers(shape: torch.Size, salt: int) -> torch.Tensor:
    """Eighths between -16 and 16, which every format holds."""
    places = torch.arange(shape.numel(), dtype=torch.int64)
    return ((places * 37 + salt * 101) % 255 - 127).reshape(shape).float() / 8


def made(kind: str, weights: str) -> Checkpoint:
    config = config_from_flat(BASE | KINDS[kind] | {"weights": weights})
    model = build(config, len(VOCABULARY)).eval()
    packed: dict[str, Quantised] = {}
    state = model.state_dict()
    for salt, (name, value) in enumerate(sorted(state.items())):
        made = numbers(value.shape, salt)
        if not value.is_floating_point():
            made = made * 8 + 128
        elif name.endswith("running_var"):
            made = made.abs() + 1
        elif weights == "int8" and value.dim() == 2:
            packed[name] = quantised(made, None, MAX_ABS)
            made = packed[name].floats()
        state[name] = made.to(value.dtype)
    model.load_state_dict(state)
    return Checkpoint(model, VOCABULARY, HERE, packed)


def written(found: Checkpoint, weights: str, path: Path) -> dict[str, bytes]:
    """The files that hold it."""
    halves = frozenset[str]() if weights == "fp16" else None
    packed = found.packed if weights == "int8" else None
    save_checkpoint(path, found.model, VOCABULARY, HERE, halves, packed)
    model, half = found.model, weights != "fp32"
    text = ModelMetadata(found.config, VOCABULARY, HERE).to_json()
    portable = model.graph(text, store_half=half, weights=found.stored())
    pair = model.serving_graphs(text, store_half=half, half=half)
    graphs = [graph.SerializeToString(deterministic=True) for graph in (portable, *pair.values())]
    return dict(zip(FILES, [path.read_bytes(), *graphs], strict=True))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", KINDS)
def test_files_of_every_head_are_the_bytes_they_were(
    kind: str, weights: str, tmp_path: Path
) -> None:
    found, path = made(kind, weights), tmp_path / "model.safetensors"
    files = written(found, weights, path)
    assert tuple(map(digest, files.values())) == PINS[f"{kind} {weights}"], list(files)
    loaded = load_checkpoint(path)
    assert loaded.config == found.config
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, found.model.state_dict()[name]), name


def test_the_header_is_the_text_it_was() -> None:
    config = config_from_flat(BASE | KINDS["reranked"] | {"weights": "int8"})
    assert ModelMetadata(config, VOCABULARY, HERE).to_json() == HEADER


@pytest.mark.parametrize("method", [Method.COLUMNS, Method.RANDOM])
def test_codebooks_are_the_bytes_they_were(method: Method) -> None:
    sides = projected(COLUMNS, random_projection(8, 32, 7))
    assert np.abs(sides).min() > 1e-3, "no rounding decides a bit"
    made = make_codebook(COLUMNS, None, CodebookOptions(method, 32, 0.1, 7))
    assert digest(codebook_bytes(made.codebook, VOCABULARY)) == CODEBOOKS[method]
