"""Codes of a foreign classifier learnt on cached decision features (EMU), blank outside of them.

M frames, V classes, C of them coded, d features, K bits. A frame's label is the classifier's own
answer, as a distribution; the special classes keep their columns, and are scored by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hcompress.codes.repair import MIN_DISTANCE, Repairs, repaired
from hcompress.codes.votes import Votes, projected, random_projection, voted_bits
from hcompress.codes.whitened import Scatter, whitened_projections
from hcompress.compress.plan_head import beside, row
from hcompress.errors import InputRefused
from hcompress.foreign.kept import answers
from hcompress.heads.emu.core import (
    contrastive_scores,
    relaxed_signs,
    sharpening,
    wanted_sharpness,
)
from hcompress.heads.emu.learner import CodeLearner
from hcompress.heads.emu.options import EmuOptions
from hcompress.heads.encodings.by_distance import by_distance, unit_of
from hcompress.heads.encodings.encode import Encoded, Evidence, Teacher, assembled, moved
from hcompress.heads.encodings.menu import LEARNT, encoding
from hcompress.onnx_writer.packed import Halves, LowRank, Signs
from hcompress.training.code_options import CodesFrom
from hcompress.training.head_trainer import Draw, distilled_head, share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.compress.encode_head import Ground
    from hcompress.compress.plan_head import Row
    from hcompress.heads.encodings.menu import Encoding
    from hcompress.progress import Progress

    Floats = NDArray[np.float32]

SURE: Final = 0.5
"""The size of code logits that begin as voted codes."""
RATES: Final = {
    "projection": 6e-3,
    "class_net": 0.03,
    "beta_net": 0.02,
    "bias": 5e-3,
    "scale": 5e-3,
}
"""Peak rates: codes have to cross 0 in some hundred steps."""
ALIKE: Final = 2048
"""Frames by which the scale is found."""
AT_ONCE: Final = 2048
MOST_SCALE: Final = 200.0
EMU: Final = EmuOptions(decay=0.99, weight=1e-2)
"""Lambda is a hundred times the paper's, and gamma less: a run has hundreds of steps, not 200,000,
and what is learnt below a beta of some tens is not what signs keep."""


@dataclass(frozen=True)
class Learning:
    """How codes are learnt."""

    length: int
    """K."""
    steps: int
    seed: int
    start: CodesFrom = CodesFrom.LSH
    fixed: bool = False
    """Codes stay as they begin, and the projection learns alone: what learning them is held to."""
    emu: EmuOptions = EMU


class Beginning(NamedTuple):
    """What learning starts from."""

    logits: Tensor
    """[C, K]: the codes' signs, and how sure they are."""
    projection: Tensor
    """[K, d]: bit logits of a root mean square of 1."""
    scale: float
    """What a whole code that agrees is worth, as the columns' scores have it."""


class LearningCodes(nn.Module):
    """Scores of the special classes by their columns, of the others by codes."""

    columns: Tensor
    heights: Tensor

    def __init__(
        self, teacher: Teacher, begun: Beginning, learning: Learning, bias: Floats
    ) -> None:
        super().__init__()
        length, width = begun.projection.shape
        self.learner = CodeLearner(len(begun.logits), width, length, learning.emu)
        self.learner.start_from(begun.logits)
        self.size = float(begun.projection.square().mean().sqrt()) or 1.0
        self.projection = nn.Parameter(begun.projection / self.size)
        self.bias = nn.Parameter(torch.from_numpy(bias))
        self.scale = nn.Parameter(torch.tensor(begun.scale).log())
        special = list(teacher.special)
        halves = teacher.weight[special].astype(np.float16).astype(np.float32)
        self.register_buffer("columns", torch.from_numpy(halves))
        self.register_buffer("heights", torch.from_numpy(teacher.bias[special]))

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """h [M, d] -> scores [M, special + C], special ones first, and beta [M]."""
        beta = self.learner.beta(h)
        bits = relaxed_signs(
            h @ self.projection.T * self.size, beta, self.learner.options.surrogate
        )
        coded = contrastive_scores(bits, self.learner.codes(), 1.0) * self.scale.exp() + self.bias
        whole: Tensor = torch.cat([h @ self.columns.T + self.heights, coded], -1)
        return whole, beta[:, 0]


def learnt_head(
    teacher: Teacher,
    evidence: Evidence,
    features: Sequence[Floats],
    learning: Learning,
    progress: Progress,
) -> Encoded:
    """The classifier in codes that were learnt on lines' features [T, d]: met by distance they
    answer as they were trained to, and met by a real-valued query a little better.

    Raises UsageError if codes are of another length than whole bytes, and InputRefused if the
    features are too few to start from.
    """
    torch.manual_seed(learning.seed)
    frames = np.concatenate(features)
    order = np.concatenate([np.array(teacher.special, np.intp), teacher.coded])
    weight = torch.from_numpy(np.ascontiguousarray(teacher.weight[order]))
    heights = torch.from_numpy(teacher.bias[order])
    begun = beginning(teacher, frames, learning)
    # Codes say what is apart from the mean, and begin with none of their own.
    net = LearningCodes(teacher, begun, learning, _heights(teacher, evidence))
    if learning.fixed:
        net.learner.class_net.requires_grad_(False)
    special = np.arange(len(teacher.special))
    tensor = torch.from_numpy(frames)
    draw = Draw(
        tensor, weight, heights, tuple(special.tolist()), np.arange(len(order)), learning.seed
    )
    optimiser = torch.optim.Adam(
        [
            {"params": [p], "lr": 0.0, "peak": _rate(name)}
            for name, p in net.named_parameters()
            if p.requires_grad
        ]
    )
    progress.start("learning codes", learning.steps)
    for step in range(learning.steps):
        h = tensor[draw()]
        net.learner.begin()
        soft = (h @ weight.T + heights).log_softmax(-1)
        scores, beta = net(h)
        mine = scores.log_softmax(-1)
        each = functional.kl_div(mine, soft, reduction="none", log_target=True).sum(-1)
        net.learner.note(beta.mean())
        drawn_up = sharpening(beta, wanted_sharpness(each, learning.emu.mu), learning.emu.weight)
        loss = (each + drawn_up).mean()
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * share(step, learning.steps)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress.advance(
            1, f"loss {float(each.mean().detach()):.4f}, beta {float(beta.mean().detach()):.1f}"
        )
    progress.finish()
    return _stored(teacher, evidence, net)


def trained_head(
    ground: Ground, one: Encoding, steps: int, seed: int, progress: Progress
) -> Encoded:
    """The head in that encoding: learnt if its codes are learnt, else fitted and then trained.

    Raises as `learnt_head`.
    """
    if one.learnt_bits is None:
        return distilled_head(ground, one, steps, seed, progress)
    learning = Learning(one.learnt_bits, steps, seed)
    return learnt_head(ground.teacher, ground.evidence, ground.fitted, learning, progress)


def learnt_rows(
    ground: Ground, lengths: Sequence[int], steps: int, seed: int, size: int, progress: Progress
) -> list[Row]:
    """Learnt codes of these lengths in a file of ``size`` bytes, met by a real-valued query, by
    distance alone and with a second look: judged as every other encoding is."""
    teacher, judged, spec = ground.teacher, ground.judged, ground.model.spec
    before = answers(judged.features, teacher.weight, teacher.bias)
    rest = size - teacher.weight.nbytes - teacher.bias.nbytes
    found: list[Row] = []
    for length in lengths:
        one = encoding(f"{LEARNT}-{length}", teacher.weight.shape[1], seed)
        made = trained_head(ground, one, steps, seed, progress)
        whole = row(one.name, made, before, judged, spec, rest)
        ways = by_distance(made, teacher, ground.evidence, f"{LEARNT}-codes")
        found += [whole, *(beside(way, before, judged, spec, whole) for way in ways)]
    return found


def beginning(teacher: Teacher, frames: Floats, learning: Learning) -> Beginning:
    """Codes and projection before anything is learnt, by what `codebook` would make of the same."""
    coded, length, seed = teacher.coded, learning.length, learning.seed
    columns = teacher.weight[coded]
    said, ids = _spoken(teacher, frames)
    if not said.any():
        raise InputRefused("no frame that says anything: are these lines?")
    h, seen = torch.from_numpy(frames[said]), torch.from_numpy(ids[said])
    scores = h[:ALIKE].numpy() @ columns.T + teacher.bias[coded]
    columns = columns - columns.mean(0)  # what all have in common tells none from another
    flat = torch.from_numpy(_flattening(frames[said]))
    if learning.start is CodesFrom.LSH:
        projection = random_projection(frames.shape[1], length, seed)
        votes = Votes.none(len(coded), projection, lambda _: seen)
        votes.add(h @ flat, seen)
        bits, _, _ = voted_bits(votes, projected(columns, projection))
        logits = np.where(bits, SURE, -SURE)
    else:
        scatter = Scatter.none(len(coded), frames.shape[1])
        scatter.add(h, seen)
        for_columns, projection = whitened_projections(scatter, length, seed)
        sides = projected(columns, for_columns)
        logits = sides / max(float(np.sqrt((sides**2).mean())), 1e-12)
    made = (flat @ torch.from_numpy(projection)).T
    size = (h @ made.T).square().mean().sqrt().clamp(min=1e-12)
    begun = torch.from_numpy(logits).float()
    some = slice(0, ALIKE)
    alike = contrastive_scores(torch.tanh(h[some] @ made.T / size), torch.tanh(begun), 1.0)
    height = float((scores.max(1) - scores.mean(1)).mean())
    near = float(alike.gather(1, seen[some, None]).mean())
    return Beginning(begun, made / size, height / max(near, height / MOST_SCALE))


def _flattening(h: Floats) -> Floats:
    """A map [d, d] of features [M, d] after which their mean is zero, as if it were subtracted.

    Signs say nothing where the mean is far from zero, and bits have no bias to be stored: so what
    is subtracted is the mean times that product of h which is nearest to 1.
    """
    mean = h.mean(0, dtype=np.float64)
    spread = np.cov(h.T.astype(np.float64)) + 1e-9 * float((mean**2).mean()) * np.eye(len(mean))
    along = np.linalg.solve(spread, mean)
    made = np.eye(len(mean)) - np.outer(along / (along @ mean), mean)
    return np.asarray(made, np.float32)


def _spoken(teacher: Teacher, frames: Floats) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Of frames [M, d] whether a coded class is the answer, and which of them is the best."""
    special, coded = list(teacher.special), teacher.coded
    weight = np.ascontiguousarray(teacher.weight[coded].T)
    said, ids = np.zeros(len(frames), np.bool_), np.zeros(len(frames), np.int64)
    for start in range(0, len(frames), AT_ONCE):
        here = slice(start, start + AT_ONCE)
        aside = (frames[here] @ teacher.weight[special].T + teacher.bias[special]).max(1)
        scores = frames[here] @ weight + teacher.bias[coded]
        ids[here] = scores.argmax(1)
        said[here] = scores.max(1) > aside
    return said, ids


def _heights(teacher: Teacher, evidence: Evidence) -> Floats:
    """What coded classes score on the average, [C]: codes say what is apart from that."""
    coded = teacher.coded
    return np.asarray(teacher.bias[coded] + teacher.weight[coded] @ evidence.mean, np.float32)


def _rate(name: str) -> float:
    return next(rate for part, rate in RATES.items() if part in name)


@torch.no_grad()
def _stored(teacher: Teacher, evidence: Evidence, net: LearningCodes) -> Encoded:
    """Codes repaired, and the projection scaled so that a bit that agrees is worth what it was."""
    logits = net.learner.code_logits().double().numpy()
    bits, _, _ = repaired(logits >= 0, np.abs(logits), MIN_DISTANCE, Repairs(0, (), (), ()))
    query = (net.projection.T * net.size).numpy()
    worth = float(net.scale.exp()) / bits.shape[1]
    query = np.asarray(query * (worth / unit_of(query, evidence)), np.float16)
    packed = LowRank(Signs(bits), Halves(query))
    bias = teacher.bias.copy()
    bias[teacher.coded] = net.bias.numpy()
    return assembled(teacher, packed, bias, moved(teacher, packed, evidence))
