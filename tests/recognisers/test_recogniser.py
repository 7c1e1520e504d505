"""The recogniser: shapes, decoding with and without a cache, surgery, files."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hcompress.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from hcompress.compress import replace_head as surgery
from hcompress.compress.half import halved
from hcompress.compress.options import SharedFrom
from hcompress.compress.slim_decoder import with_shared_layers, without_ffn
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.heads.hamming.codebook import Codebook
from hcompress.heads.hamming.module import HammingHead
from hcompress.recognisers.build import build
from hcompress.recognisers.rebuild import with_folded_batch_norm
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.config import Backbone, TransformerConfig, Weights
from hcompress.spec.flat import config_from_flat, config_to_flat
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming
from tests import builders
from tests.builders import CHARACTERS, FOLDED, HAMMING, SLIM, SOFTMAX, untrained
from tests.forcing import forced
from tests.special import BOS, EOS, PAD

CONFIGS = pytest.mark.parametrize("config", [SOFTMAX, HAMMING, SLIM, FOLDED])
HERE = Provenance("train", None)
RERANKING = replace(HAMMING, head=Hamming(64, rerank=True))


def noise(count: int) -> torch.Tensor:
    return torch.from_numpy(builders.noise(count))


def by_full_prefix(model: Transformer, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Greedy ids [N, T] and features [N, T, d], all steps computed anew at each step."""
    with torch.inference_mode():
        memory = model.encode(images)
        ids = torch.full((len(images), 1), BOS)
        for _ in range(model.config.max_steps):
            features = model.features(memory, forced(ids))
            best = model.head.scores(model.head.logits(features[:, -1])).argmax(-1)
            ids = torch.cat([ids, best[:, None]], 1)
        return ids[:, 1:], features


@CONFIGS
def test_cached_decoding_equals_full_prefix(config: TransformerConfig) -> None:
    model, images = untrained(config), noise(5)
    expected, _ = by_full_prefix(model, images)
    found = model.read(images).ids[:, :, 0]
    texts = [CHARACTERS.decode(row) for row in expected.tolist()]
    assert [CHARACTERS.decode(row) for row in found.tolist()] == texts
    assert len(set(texts)) > 1, "images that all read alike test nothing"


@CONFIGS
def test_one_step_of_the_cache_equals_one_column_of_the_whole(config: TransformerConfig) -> None:
    model, images = untrained(config), noise(3)
    ids = torch.tensor([[BOS, 4, 7, 9]] * 3)
    with torch.inference_mode():
        memory = model.encode(images)
        whole = model.features(memory, forced(ids))
        cross = model.decoder.cross_keys_values(memory)
        keys, values = model.empty_cache(3), model.empty_cache(3)
        for place in range(ids.shape[1]):
            one, keys, values = model.decoder.step(
                model.embed(ids[:, place]), torch.tensor(place), keys, values, *cross
            )
            torch.testing.assert_close(one, whole[:, place], rtol=1e-4, atol=1e-5)


def test_after_the_end_a_line_is_padding_with_certainty() -> None:
    model = untrained(SOFTMAX)
    with torch.no_grad():
        model.classifier.weight[EOS] = 0
        model.classifier.weight[EOS, 0] = 1e4 * torch.sign(model.decoder.norm.bias[0] + 1e-6)
        model.decoder.norm.bias[0] = 1e4
    read = model.read(noise(2))
    assert read.ids[:, 0, 0].tolist() == [EOS, EOS]
    assert read.ids.shape[1] == 1, "stops as soon as every line has ended"
    assert PAD not in read.ids[:, 0].tolist()[0]


def test_equal_scores_go_to_the_lowest_id_and_specials_are_never_read() -> None:
    model = untrained(SOFTMAX)
    with torch.no_grad():
        model.classifier.weight.zero_()
    read = model.read(noise(1))
    assert read.ids[0, 0].tolist() == [EOS, 3, 4, 5, 6]
    assert read.probabilities[0, 0, 0].item() == pytest.approx(1 / (len(CHARACTERS) - 2))


def test_the_hamming_head_reads_the_nearest_code() -> None:
    model = untrained(HAMMING)
    signs = model.signs()
    features = torch.randn(50, HAMMING.width)
    bits = torch.where(model.classifier(features) >= 0, 1.0, -1.0)
    differing = (bits[:, None] != signs[None]).sum(-1)
    differing[:, :EOS] = 10**6
    scores = model.head.scores(model.head.logits(features))
    torch.testing.assert_close(-scores[:, EOS:].long(), differing[:, EOS:])


@pytest.mark.parametrize("seed", range(3))
def test_refined_the_bit_logits_choose_among_the_nearest(seed: int) -> None:
    model = untrained(replace(RERANKING, temperature=3.0), seed)
    head = model.head
    assert isinstance(head, HammingHead)
    signs, generator = model.signs(), torch.Generator().manual_seed(seed)
    features = torch.randn(50, HAMMING.width, generator=generator)
    with torch.inference_mode():
        logits = head.logits(features)
        ids, chances = head.best(head.scores(logits), 5)
        found, shared = head.refine(logits, ids, chances)
    moved = 0
    for line in range(50):
        sums = {i: float(signs[i] @ logits[line]) for i in ids[line].tolist()}
        wanted = sorted(sums, key=lambda i: -sums[i])
        moved += wanted != ids[line].tolist()
        assert found[line].tolist() == wanted
        weights = np.exp([(sums[i] - max(sums.values())) / 6 for i in wanted])
        expected = float(chances[line].sum()) * weights / weights.sum()
        np.testing.assert_allclose(shared[line].numpy(), expected, rtol=1e-4)
    assert moved > 10
    # Where all bits are as sure as each other, the order stays: that of the distances.
    with torch.inference_mode():
        same, _ = head.refine(torch.sign(logits), ids, chances)
    assert torch.equal(same, ids)


def test_a_refined_recogniser_reads_the_same_whatever_is_asked() -> None:
    model = untrained(RERANKING)
    images = noise(12)
    five, one = model.read(images), model.read(images, candidates=1)
    assert torch.equal(five.ids[:, :, :1], one.ids)
    plain = build(HAMMING, len(CHARACTERS))
    plain.load_state_dict(model.state_dict())
    assert not torch.equal(plain.eval().read(images).ids[:, 0, 0], five.ids[:, 0, 0])


def test_both_families_give_one_position_per_8_rows_and_4_columns() -> None:
    narrow = replace(SOFTMAX, backbone=Backbone.RESNET31, backbone_width=0.0625)
    for config in (SOFTMAX, narrow):
        memory = untrained(config).encode(noise(2))
        assert memory.shape == (2, 6 * 40, config.width)


def test_the_baseline_weighs_what_the_paper_says() -> None:
    with torch.device("meta"):
        wide = TransformerConfig(backbone=Backbone.RESNET31, width=512, ffn_width=2048)
        model = build(wide, 20_951)
    backbone = sum(p.numel() for p in model.backbone.parameters()) * 4 / 2**20
    assert backbone == pytest.approx(175.7, abs=0.05)


def random_codebook(seed: int = 0, length: int = 64) -> Codebook:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 256, (len(CHARACTERS), length // 8), dtype=np.uint8)
    return Codebook(codes, rng.standard_normal((SOFTMAX.width, length), dtype=np.float32))


def test_folding_keeps_the_answers() -> None:
    model, images = untrained(SLIM), noise(4)
    folded = with_folded_batch_norm(model)
    with torch.inference_mode():
        torch.testing.assert_close(
            folded.encode(images), model.encode(images), rtol=1e-3, atol=1e-4
        )
    assert folded.read(images).ids.tolist() == model.read(images).ids.tolist()


@pytest.mark.parametrize("source", list(SharedFrom))
def test_sharing_stores_one_layer(source: SharedFrom) -> None:
    model = untrained(SOFTMAX)
    shared = with_shared_layers(model, source)
    names = {n.split(".")[2] for n in shared.state_dict() if n.startswith("decoder.layers.")}
    assert names == {"0"}
    place = {SharedFrom.FIRST: 0, SharedFrom.MIDDLE: 1, SharedFrom.LAST: 2}.get(source)
    weights = [model.decoder.layer(i).self_attention.key.weight for i in range(3)]
    expected = torch.stack(weights).mean(0) if place is None else weights[place]
    torch.testing.assert_close(shared.decoder.layer(2).self_attention.key.weight, expected)


def test_a_hamming_embedding_starts_as_the_learned_one() -> None:
    model = untrained(SOFTMAX)
    swapped = surgery.with_hamming_embedding(model, random_codebook().codes)
    ids = torch.arange(len(CHARACTERS))
    # Fewer characters than bits: the fit is exact but for the ridge.
    torch.testing.assert_close(swapped.embed(ids), model.embed(ids), rtol=0.05, atol=0.05)


def test_a_change_with_nothing_to_change_stops() -> None:
    model = untrained(FOLDED)
    for change in (
        lambda: surgery.with_hamming_classifier(model, random_codebook()),
        lambda: surgery.with_hamming_embedding(model, random_codebook().codes),
        lambda: without_ffn(model),
        lambda: with_shared_layers(model, SharedFrom.FIRST),
        lambda: with_folded_batch_norm(model),
        lambda: halved(model, ("no.such.tensor",), fold=False),
    ):
        with pytest.raises(UsageError):
            change()


@CONFIGS
def test_a_file_gives_back_the_model(config: TransformerConfig, tmp_path: Path) -> None:
    model, path = untrained(config), tmp_path / "model.safetensors"
    save_checkpoint(path, model, CHARACTERS, HERE)
    first = path.read_bytes()
    loaded = load_checkpoint(path)
    assert (loaded.config, loaded.vocabulary, loaded.provenance) == (config, CHARACTERS, HERE)
    assert loaded.model.read(noise(2)).ids.tolist() == (model.read(noise(2)).ids.tolist())
    save_checkpoint(path, loaded.model, CHARACTERS, HERE)
    assert path.read_bytes() == first


def test_half_takes_two_bytes_a_weight_and_keeps_its_islands(tmp_path: Path) -> None:
    model = untrained(FOLDED)
    half, islands, _ = halved(model, ("decoder.norm",), fold=False)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, half, CHARACTERS, HERE, islands)
    assert islands == {"decoder.norm.weight", "decoder.norm.bias"}
    for name, value in half.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], rtol=2**-11, atol=2**-24)
    floats = sum(v.numel() for v in model.state_dict().values() if v.is_floating_point())
    header = int.from_bytes(path.read_bytes()[:8], "little") + 8
    kept = 2 * SLIM.width
    assert path.stat().st_size - header == 2 * (floats - kept) + 4 * kept + half.codebook.numel()
    loaded = load_checkpoint(path)
    assert loaded.config.weights is Weights.FP16
    for name, value in loaded.model.state_dict().items():
        torch.testing.assert_close(value, half.state_dict()[name], rtol=0, atol=0)


def test_half_refuses_what_it_cannot_hold() -> None:
    model = untrained(SLIM)
    with torch.no_grad():
        model.classifier.projection.weight[0, 0] = 1e6
    with pytest.raises(NumericalError, match=r"classifier\.projection\.weight"):
        halved(model, (), fold=False)


def test_nan_is_refused_by_name_when_saved_and_when_loaded(tmp_path: Path) -> None:
    model, path = untrained(SOFTMAX), tmp_path / "model.safetensors"
    save_checkpoint(path, model, CHARACTERS, HERE)
    data = bytearray(path.read_bytes())
    nan = np.float32("nan").tobytes()
    data[-4:] = nan
    path.write_bytes(bytes(data))
    with pytest.raises(NumericalError, match="tensor "):
        load_checkpoint(path)
    with torch.no_grad():
        model.embedding.weight[0, 0] = torch.inf
    with pytest.raises(NumericalError, match=r"embedding\.weight"):
        save_checkpoint(path, model, CHARACTERS, HERE)


def test_a_charset_of_another_length_is_refused(tmp_path: Path) -> None:
    from hcompress.spec.vocabulary import Vocabulary

    path = tmp_path / "model.safetensors"
    save_checkpoint(path, untrained(SOFTMAX), Vocabulary("abc"), HERE)
    with pytest.raises(InputRefused, match=r"configuration and charset"):
        load_checkpoint(path)


def test_hostile_configurations_are_refused() -> None:
    good = config_to_flat(SOFTMAX)
    assert good is not None
    for change in (
        {"width": 10**9},
        {"width": "256"},
        {"depth": 0},
        {"code_length": 12},
        {"code_length": 64},
        {"backbone": "vgg"},
        {"ffn": "false"},
        {"surprise": 1},
        {"refined": True},
        {"refined": 1},
        {"preprocessing": {"height": 47}},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": 1e-300},
        {"backbone_width": float("nan")},
        {"depth": 25, "shared_layers": True},
        {"max_steps": 16384},
        {"code_length": 16384, "classifier": "hamming"},
        {"preprocessing": {"height": 16384}},
        {"preprocessing": {"width": 16384}},
        {"preprocessing": {"mean": 1e308}},
        {"preprocessing": {"std": float("nan")}},
    ):
        with pytest.raises(InputRefused):
            config_from_flat(good | change)
    assert config_from_flat(good) == SOFTMAX
    assert "refined" not in good
    told = config_to_flat(RERANKING)
    assert told is not None
    assert told["refined"] is True
    assert config_from_flat(told) == RERANKING


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    """torch._dynamo and sympy cost two seconds of every command, and no checkpoint needs them."""
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, untrained(HAMMING), CHARACTERS, HERE)
    code = (
        "import sys; from pathlib import Path;"
        "from hcompress.checkpoints.checkpoint import load_checkpoint;"
        f"load_checkpoint(Path({str(path)!r}));"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
