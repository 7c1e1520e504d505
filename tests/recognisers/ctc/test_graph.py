"""A CTC recogniser's graph answers as its module does, for lines of any width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hcompress.compute.session import Session
from hcompress.errors import UsageError
from hcompress.heads.contract import Losses
from hcompress.recognisers.build import build
from hcompress.recognisers.ctc.model import Ctc
from hcompress.recognisers.rebuild import folded
from hcompress.spec.config import Backbone
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.heads import Hamming, HeadSpec, Softmax
from hcompress.spec.preprocessing import AnyWidth

SMALL = CtcConfig(
    width=16,
    preprocessing=AnyWidth(height=32, width=160),
    max_steps=40,
    backbone_width=0.3,
    neck=2,
    neck_width=8,
    ffn_width=16,
    heads=2,
)
VOCABULARY = 30


def made(config: CtcConfig) -> Ctc:
    torch.manual_seed(5)
    model = build(config, VOCABULARY)
    assert isinstance(model, Ctc)
    if config.code_length:
        model.codebook.random_(0, 256)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.1, 0.3)
    return model.eval()


@pytest.mark.parametrize(
    ("backbone", "pitch", "neck", "head"),
    [
        (Backbone.MOBILENET_V2, 4, 2, Softmax()),
        (Backbone.MOBILENET_V2, 8, 0, Hamming(32)),
        (Backbone.RESNET31, 8, 1, Softmax(bottleneck=8)),
        (Backbone.RESNET31, 4, 0, Hamming(32, rerank=True)),
    ],
)
def test_the_graph_answers_as_torch_does(
    backbone: Backbone, pitch: int, neck: int, head: HeadSpec
) -> None:
    config = replace(
        SMALL, backbone=backbone, pitch=pitch, max_steps=160 // pitch, neck=neck, head=head
    )
    model = folded(made(replace(config, backbone_width=0.1 if "res" in backbone else 0.3)))
    data = model.graph("{}", store_half=False).SerializeToString()
    session = Session(data, 1, {"H": 32})
    for count, width in ((1, 32), (3, 96), (2, 160)):
        random = np.random.default_rng(width)
        images = random.integers(0, 256, (count, 32, width, 3), np.uint8)
        ids, chances = session.run(["ids", "probabilities"], {"images": images})
        expected = model.read(torch.from_numpy(images))
        assert ids.shape == (count, width // pitch, 5)
        assert (ids[..., 0] == expected.ids[..., 0].numpy()).mean() > 0.95
        assert chances == pytest.approx(expected.probabilities.numpy(), abs=2e-2)


def test_folding_keeps_the_answers() -> None:
    model = made(SMALL)
    images = torch.randint(0, 256, (2, 32, 64, 3), dtype=torch.uint8)
    found, expected = folded(model).encode(images), model.encode(images)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_it_has_one_way() -> None:
    model = made(SMALL)
    memory = model.encode(torch.zeros(1, 32, 64, 3, dtype=torch.uint8))
    ways = model.ways(memory, model.targets(["a"], *vocabulary()))
    next(ways)
    with pytest.raises(UsageError, match="slim_routes is not for"):
        next(ways)


def vocabulary() -> tuple[object, object]:
    from hcompress.charset import UnknownCharacter
    from hcompress.spec.vocabulary import Vocabulary

    return Vocabulary("abc", SMALL.transcription), UnknownCharacter.REFUSE


@pytest.mark.parametrize("head", [Softmax(), Hamming(32)])
def test_the_loss_is_the_same_a_few_lines_at_a_time(
    head: HeadSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made(replace(SMALL, head=head))
    targets = model.targets(["ab", "", "cc"], *vocabulary())
    logits = torch.randn(3, 12, VOCABULARY if head == Softmax() else 32).requires_grad_()
    whole = model.label_loss(logits, targets, Losses(smoothing=0.1))
    (expected,) = torch.autograd.grad(whole, logits)
    monkeypatch.setattr("hcompress.recognisers.ctc.model.SCORES", 1)
    parts = model.label_loss(logits, targets, Losses(smoothing=0.1))
    (found,) = torch.autograd.grad(parts, logits)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(found, expected)
