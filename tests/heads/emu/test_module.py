"""The head whose codes learn: what it asks for, what it reads, what is left of it."""

from __future__ import annotations

import pytest
import torch

from hcompress.heads.contract import Losses, Setting
from hcompress.heads.emu.core import contrastive_loss, contrastive_scores, sharpening
from hcompress.heads.emu.learner import CodeLearner
from hcompress.heads.emu.module import LearningHead, LearningInputs
from hcompress.heads.emu.options import ClassNet, EmuOptions, Sharpness
from hcompress.heads.hamming.module import HammingHead, HammingInputsModule, hamming_scores
from hcompress.heads.softmax import LearnedInputs, SoftmaxHead
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax

V, D, K = 9, 6, 16
SETTING = Setting(V, D, 2, 1.0)
PLAIN = Losses(code_cross_entropy=1.0)


def learning(framewise: bool = False, **options: object) -> LearningHead:
    torch.manual_seed(0)
    learner = CodeLearner(V, D, K, EmuOptions(**options))  # type: ignore[arg-type]
    return LearningHead.of(HammingHead(Hamming(K), SETTING), learner, framewise=framewise)


def decisions() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """h [2, 3, d], ids [2, 3] and the five that count."""
    counted = torch.ones(2, 3, dtype=torch.bool)
    counted[1, 2] = False
    torch.manual_seed(1)
    return torch.randn(2, 3, D), torch.randint(2, V, (2, 3)), counted


def test_its_loss_is_equations_12_and_14_over_what_counts() -> None:
    head = learning(weight=0.5, mu=1.0)
    h, ids, counted = decisions()
    head.learner.begin()
    logits = head.logits(h)
    assert logits.shape == (2, 3, K + 1)
    x, beta = logits[counted][:, :K], logits[counted][:, K]
    assert bool((beta > 1).all())
    scores = contrastive_scores(
        torch.tanh(beta[:, None] * x), torch.tanh(head.learner.code_logits()), 20
    )
    each = contrastive_loss(scores[:, 2:], ids[counted] - 2)
    by_hand = (each + sharpening(beta, 1 / each.detach(), 0.5)).sum()
    assert head.loss(logits, ids, counted, PLAIN).item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert float(head.learner.seen) == pytest.approx(float(beta.mean()), rel=1e-5)


def test_what_the_beta_net_learns_does_not_reach_the_features() -> None:
    head = learning(weight=1.0)
    h = decisions()[0].requires_grad_()
    head.learner.beta(h).sum().backward()  # type: ignore[no-untyped-call]
    assert h.grad is None
    assert all(p.grad is not None for p in head.learner.beta_net.parameters())  # type: ignore[union-attr]


def test_a_framewise_loss_is_the_sharpness_alone_and_paths_learn_by_scores() -> None:
    head = learning(framewise=True, weight=0.5)
    h, ids, counted = decisions()
    head.learner.begin()
    logits = head.logits(h)
    each = contrastive_loss(head.learnt_scores(logits)[counted][:, 2:], ids[counted] - 2)
    by_hand = sharpening(logits[counted][:, K], 1 / each.detach(), 0.5).sum()
    assert float(head.loss(logits, ids, counted.float(), PLAIN)) == pytest.approx(float(by_hand))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sharpness": Sharpness.FIXED, "fixed": 3.0}, [3, 3, 3]),
        ({"sharpness": Sharpness.SCHEDULE}, [1, 1.5**0.5, 2**0.5]),
        ({"decay": 0.5}, [1, 2, 2.5]),
    ],
)
def test_the_codes_sharpness_by_step(options: dict[str, object], expected: list[float]) -> None:
    head, found = learning(**options), []
    for _ in range(3):
        head.learner.begin()
        found.append(float(head.learner.sharp))
        head.learner.note(torch.tensor(3.0))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("net", ClassNet)
def test_it_reads_by_signs_as_the_head_that_it_will_be(net: ClassNet) -> None:
    head = learning(class_net=net).eval()
    h = decisions()[0].flatten(0, 1)
    signs = torch.where(head.learner.code_logits() >= 0, 1.0, -1.0)
    logits = head.logits(h)
    assert logits.shape == (6, K)
    assert torch.equal(head.all_scores(logits), hamming_scores(logits, signs))
    ids, _ = head.rank(h, 3)
    assert bool((ids >= 2).all())
    # What is learnt shows as soon as it reads again.
    head.train()
    with torch.no_grad():
        for parameter in head.learner.class_net.parameters():
            parameter.neg_()
    head.eval()
    assert not torch.equal(head.learner.signs(), signs)


def test_a_table_starts_from_codes_and_a_network_by_chance() -> None:
    wanted = torch.randn(V, K)
    for net in ClassNet:
        learner = learning(class_net=net).learner
        learner.start_from(wanted)
        assert torch.equal(learner.code_logits(), wanted) is (net is ClassNet.TABLE)


def test_the_embedding_gives_relaxed_codes_as_long_as_signs() -> None:
    head = learning()
    inputs = LearningInputs.of(HammingInputsModule(HammingInputs(K), SETTING), head.learner)
    assert isinstance(inputs, LearningInputs)
    inputs.projection.weight.data = torch.eye(K)[:D]
    head.learner.begin()
    ids = torch.tensor([3, 4])
    codes = torch.tanh(head.learner.code_logits())[ids]
    expected = codes * (K**0.5 / codes.norm(dim=-1, keepdim=True))
    assert torch.allclose(inputs(ids), expected[:, :D], atol=1e-5)
    inputs(ids).sum().backward()
    assert head.learner.class_net.weight.grad is not None
    head.eval()
    inputs.eval()
    assert torch.equal(inputs(ids), head.learner.signs()[ids][:, :D])


def test_only_codes_are_learnt() -> None:
    learner = CodeLearner(V, D, K, EmuOptions())
    with pytest.raises(TypeError, match="no Hamming head"):
        LearningHead.of(SoftmaxHead(Softmax(), SETTING), learner, framewise=False)
    learned = LearnedInputs(Learned(), SETTING)
    assert LearningInputs.of(learned, learner) is learned
    assert LearningInputs.of(None, learner) is None
