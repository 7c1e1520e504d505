"""An encoded classifier, trained on cached decision features to answer as the original does.

M frames, V classes, C of them coded, d features. No labels are needed, and no body runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hcompress.errors import UsageError
from hcompress.foreign.edit import Stored
from hcompress.heads.encodings.encode import Encoded, Teacher, assembled, moved
from hcompress.heads.encodings.fit import made_good
from hcompress.onnx_writer.packed import LowRank, Packed, Products
from hcompress.onnx_writer.whole_numbers import Ints
from hcompress.training.body_trainer import WholeNumbers, passed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hcompress.compress.encode_head import Ground
    from hcompress.heads.encodings.menu import Encoding
    from hcompress.progress import Progress

    Floats = NDArray[np.float32]

FRAMES: Final = 512
"""A step's."""
RATES: Final = {"places": 0.02, "books": 2e-3, "stretch": 2e-3, "bias": 2e-3}
WARMUP: Final = 20


class Books(nn.Module):
    """Product quantisation: each class keeps its entries, the entries learn."""

    def __init__(self, packed: Products) -> None:
        super().__init__()
        self._codes = packed.codes
        books = packed.books.astype(np.float32)
        self.unit = float(np.sqrt(np.mean(books**2))) or 1.0
        self.books = nn.Parameter(torch.from_numpy(books / self.unit))
        entries = books.shape[1]
        places = packed.codes.astype(np.int64) + entries * np.arange(len(books))
        self._places = torch.from_numpy(places)

    def forward(self) -> Tensor:
        whole = self.books * self.unit
        books = passed(whole.half().float(), whole)
        picked = books.flatten(0, 1)[self._places]
        return picked.flatten(1)

    def packed(self) -> Products:
        with torch.no_grad():
            return Products(self._codes, (self.books * self.unit).numpy().astype(np.float16))


class Rotated(nn.Module):
    """Product quantisation along axes: the axes stay."""

    def __init__(self, left: Products, packed: LowRank) -> None:
        super().__init__()
        self._held = packed
        self._books = Books(left)
        self._axes = torch.from_numpy(packed.right.floats())

    def forward(self) -> Tensor:
        made: Tensor = self._books() @ self._axes
        return made

    def packed(self) -> LowRank:
        return replace(self._held, left=self._books.packed())


class Numbers(nn.Module):
    """Whole numbers, a scale a group."""

    def __init__(self, packed: Ints) -> None:
        super().__init__()
        self._weight = WholeNumbers(Stored(packed, packed.values.shape))

    def forward(self) -> Tensor:
        made: Tensor = self._weight()
        return made

    def packed(self) -> Packed:
        return self._weight.stored().packed


def learner(packed: Packed) -> Books | Rotated | Numbers | None:
    """What trains it; None for an encoding that does not learn."""
    if isinstance(packed, LowRank) and packed.across and isinstance(packed.left, Products):
        return Rotated(packed.left, packed)
    if isinstance(packed, Products):
        return Books(packed)
    return Numbers(packed) if isinstance(packed, Ints) else None


def distilled_head(
    ground: Ground, one: Encoding, steps: int, seed: int, progress: Progress
) -> Encoded:
    """The head in that encoding, fitted and then trained on the lines it was fitted to.

    Raises UsageError if it is none that learns.
    """
    teacher, evidence = ground.teacher, ground.evidence
    coded = teacher.coded
    packed = one.fit(teacher.weight[coded], evidence.among(coded))
    if steps and learner(packed) is None:
        raise UsageError(f"encoding {one.name}: nothing of it is trained: set steps = 0")
    bias = teacher.bias.copy()
    bias[coded] = made_good(bias[coded], teacher.weight[coded], packed, evidence.mean)
    error = moved(teacher, packed, evidence)
    return distilled(teacher, packed, bias, error, ground.fitted, steps, seed, progress)


def distilled(
    teacher: Teacher,
    packed: Packed,
    bias: Floats,
    error: NDArray[np.float64],
    features: Sequence[Floats],
    steps: int,
    seed: int,
    progress: Progress,
) -> Encoded:
    """The packed rows [C, d] and biases [V], trained for ``steps`` on lines' features [T, d].

    ``error`` is what the rows move scores by (`moved`). What is compared is the distribution over
    the live classes; frames of blank, which are alike, are drawn as seldom as all others together.
    """
    coded = learner(packed)
    if coded is None or not steps:
        return assembled(teacher, packed, bias, error)
    torch.manual_seed(seed)
    live = np.setdiff1d(np.arange(len(bias)), teacher.dead)
    row_of = torch.from_numpy(np.searchsorted(live, teacher.coded))
    weight = torch.from_numpy(teacher.weight[live].astype(np.float16).astype(np.float32))
    wanted = torch.from_numpy(np.ascontiguousarray(teacher.weight[live]))
    shift = nn.Parameter(torch.zeros(len(live)))
    start, original = torch.from_numpy(bias[live]), torch.from_numpy(teacher.bias[live])
    frames = torch.from_numpy(np.concatenate(features))
    draw = Draw(frames, wanted, original, teacher.special, live, seed)
    groups = [
        {"params": [p], "lr": 0.0, "peak": RATES[name.rsplit(".", 1)[-1]]}
        for name, p in coded.named_parameters()
    ]
    optimiser = torch.optim.Adam([*groups, {"params": [shift], "lr": 0.0, "peak": RATES["bias"]}])
    progress.start("distilling the head", steps)
    for step in range(steps):
        h = frames[draw()]
        matrix = weight.index_copy(0, row_of, coded())
        soft = (h @ wanted.T + original).log_softmax(-1)
        mine = (h @ matrix.T + start + shift).log_softmax(-1)
        loss = functional.kl_div(mine, soft, reduction="batchmean", log_target=True)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * share(step, steps)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        progress.advance(1, f"loss {float(loss.detach()):.4f}")
    progress.finish()
    learnt = bias.copy()
    learnt[live] += shift.detach().numpy()
    return assembled(teacher, coded.packed(), learnt, error)


def share(step: int, steps: int) -> float:
    """Of the peak rates: a short rise, then half a cosine to zero."""
    rise = min(1.0, (step + 1) / WARMUP)
    return rise * 0.5 * (1 + float(np.cos(np.pi * step / steps)))


class Draw:
    """Frames for a step: half of them spoken, half any."""

    def __init__(
        self,
        frames: Tensor,
        weight: Tensor,
        bias: Tensor,
        special: tuple[int, ...],
        live: NDArray[np.intp],
        seed: int,
    ) -> None:
        blanks = torch.from_numpy(np.isin(live, special))
        with torch.no_grad():
            best = torch.cat(
                [(part @ weight.T + bias).argmax(-1) for part in torch.split(frames, 2048)]
            )
        self._spoken = (~blanks[best]).nonzero()[:, 0]
        self._all = len(frames)
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self) -> Tensor:
        any_of = torch.randint(self._all, (FRAMES // 2,), generator=self._generator)
        if not len(self._spoken):
            return any_of
        among = torch.randint(len(self._spoken), (FRAMES // 2,), generator=self._generator)
        return torch.cat([self._spoken[among], any_of])
