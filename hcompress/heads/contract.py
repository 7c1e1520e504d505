"""What every head is to the rest: what answers from decision features, and what is given back.

M decisions, N lines, T steps, V = vocabulary, K = code length, d = width, k candidates. Training,
codebooks, evaluation, parity, export and sizes know these two classes and no head by its name.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hcompress.errors import UsageError
from hcompress.spec.heads import HeadSpec, InputsSpec

if TYPE_CHECKING:
    from hcompress.onnx_writer.graph import Graph


def _no_codes() -> Tensor:
    raise LookupError("this recogniser has no codebook")


@dataclass(frozen=True)
class Setting:
    """What a head is built for, besides its spec."""

    vocabulary: int
    """V, special ids included."""
    width: int
    """d."""
    first_answer: int
    """Ids below are never answered."""
    temperature: float
    signs: Callable[[], Tensor] = _no_codes
    """The recogniser's codes, -1 and +1, [V, K]. Raises LookupError if it has none."""


@dataclass(frozen=True)
class Losses:
    """What a head's answers are pulled towards; each head takes what it knows."""

    smoothing: float = 0.0
    """Label smoothing of a softmax."""
    margin: float = 1.0
    """Of the hinge loss (Eq. 6)."""
    code_cross_entropy: float = 0.0
    """Weight of the cross-entropy over all codes; 0 for none."""
    soft_labels: float = 0.0
    """The share of `code_cross_entropy`'s targets that is the teacher's answer, not the label."""
    rivals: int = 0
    """Codes drawn for each batch that a CTC recogniser compares with those of its labels, standing
    for all others; 0 for all."""


@dataclass(frozen=True)
class Form:
    """Which of an export's files a graph is written for."""

    serving: bool
    """For TensorRT, which ranks by floats; else for any ONNX Runtime, by whatever is fastest."""
    images: str = "images"
    height: int = 0
    """What the images' height is known to be."""
    any_width: bool = False
    """Whether their width is not known."""


@dataclass(frozen=True)
class Ranked:
    """What a step answers, as values of a graph."""

    ids: str
    """int64 [N, k]."""
    chances: str
    """float32 [N, k]."""
    bit_logits: str | None
    """float32 [N, K], of a head that may be searched outside of the graph; else None."""


class Head(nn.Module):
    """A classifier over decision features.

    What may be stored as int8, a scale a row, is a module's `weight`; what is packed, a buffer.
    """

    def __init__(self, spec: HeadSpec, setting: Setting) -> None:
        super().__init__()
        self.spec = spec
        self.setting = setting
        self.signs = setting.signs

    @property
    def readable(self) -> int:
        """How many ids may be answered."""
        return self.setting.vocabulary - self.setting.first_answer

    def logits(self, h: Tensor) -> Tensor:
        """h [..., d] -> what `forward` makes of it: [..., V], or [..., K] bit logits."""
        made: Tensor = self(h)
        return made

    @abstractmethod
    def all_scores(self, logits: Tensor) -> Tensor:
        """`logits` -> a score for every id [..., V]."""

    def learnt_scores(self, logits: Tensor, among: Tensor | None = None) -> Tensor:
        """`all_scores` as they can be learnt by: logits of a softmax over all ids, [..., V], or
        over those of ids ``among`` [n], [..., n]."""
        scores = self.all_scores(logits)
        return scores if among is None else scores[..., among]

    @abstractmethod
    def loss(
        self,
        logits: Tensor,
        targets: Tensor,
        counted: Tensor,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """The summed loss of `logits` [N, T, ...] for targets [N, T] where ``counted`` [N, T].

        ``soft`` gives a teacher's logits [N, T, V].
        """

    @abstractmethod
    def graph(self, g: Graph, h: str, prepared: Any) -> Ranked:
        """h [N, d] (float32) -> the best readable ids, ties to the lowest, and their chances."""

    @abstractmethod
    def undecided(self, h: Tensor, one: int, other: int, rounding: float) -> bool:
        """Whether rounding decides which of two ids is answered. h [d].

        ``rounding``: what sums may differ by, in shares of the logits' root mean square.
        """

    def prepare(self, g: Graph, form: Form) -> Any:
        """Write what is the same at every step; `graph` gets what is returned."""
        return None

    def scores(self, logits: Tensor) -> Tensor:
        """`all_scores`, minus infinity for ids that are never answered."""
        blocked = torch.zeros(self.setting.vocabulary, dtype=logits.dtype, device=logits.device)
        blocked[: self.setting.first_answer] = float("-inf")
        return self.all_scores(logits) + blocked

    def rank(self, h: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
        """h [N, d] -> the best ids and their probabilities, both [N, k], ties to the lowest.

        Probabilities are NaN where logits are not finite.
        """
        logits = self.logits(h)
        ids, chances = self.best(self.scores(logits), candidates)
        return ids, self.unless_broken(logits, chances)

    def best(self, scores: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
        """`scores` [..., V] -> the best ids [..., k] and their probabilities."""
        chances = torch.softmax(scores.float() / self.setting.temperature, dim=-1)
        # topk promises no order among equals, a stable sort takes as long as the backbone at
        # 20,948 characters, and argmax promises the first of them.
        left, best = scores.clone(), []
        for _ in range(min(candidates, self.readable)):
            best.append(left.argmax(-1, keepdim=True))
            left.scatter_(-1, best[-1], float("-inf"))
        order = torch.cat(best, dim=-1)
        return order, chances.gather(-1, order)

    @staticmethod
    def rounding(logits: Tensor, share: float) -> float:
        """What logits may differ by: a share of their root mean square; below 0 if there is no
        such number."""
        near = share * float(logits.square().mean().sqrt())
        return near if math.isfinite(near) else -1.0

    @staticmethod
    def unless_broken(logits: Tensor, chances: Tensor) -> Tensor:
        """Chances [N, k], NaN where a logit is not finite: no rank of it shows that."""
        broken = ~logits.isfinite().all(-1, keepdim=True)
        return chances.masked_fill(broken, float("nan"))

    def cost(self, h: Tensor, ids: Tensor) -> Callable[[float], float]:
        """The negative log-likelihood of ids [M] at features h [M, d], by temperature."""

        return lambda temperature: negative_log_likelihood(
            self.scores(self.logits(h)).double(), ids, temperature
        )

    def softmax_columns(self) -> Tensor | None:
        """[V, d] whose products with h are the scores; None if they are no such products."""
        return None

    def start_from(self, columns: Tensor, first: int) -> None:
        """Answer ids from ``first`` on by these columns [n, d], if the head has columns."""

    def grown_back(self) -> tuple[Tensor, float]:
        """Columns [V, d] that answer nearly the same, and the temperature that suits them.

        Raises UsageError if the head has columns.
        """
        raise UsageError(f"the classifier is {self.spec.described}: nothing to give back there")

    @property
    def has_closed_form(self) -> bool:
        """Whether `fit` solves for its weights."""
        return type(self).fit is not Head.fit

    def fit(self, h: Tensor, ids: Tensor) -> None:
        """Solve for the weights that features h [M, d] of ids [M] ask for, in closed form.

        Raises UsageError if the head has no such form.
        """
        raise UsageError(f"a {self.spec.kind} classifier has no closed form: set fit_lines = 0")


class Inputs(nn.Module):
    """What stands for a character where a decoder is given the one before."""

    def __init__(self, spec: InputsSpec, setting: Setting) -> None:
        super().__init__()
        self.spec = spec
        self.setting = setting
        self.signs = setting.signs

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """ids [...] -> [..., d]."""

    @abstractmethod
    def graph(self, g: Graph, ids: str, position: str, prepared: Any) -> str:
        """ids [N] and the position's vector [d] -> float32 [N, d], the sum of both."""

    def prepare(self, g: Graph, form: Form, of_head: Any) -> Any:
        """As `Head.prepare`, which has given ``of_head``: what both take is written once."""
        return None

    def vectors(self) -> Tensor:
        """What every character is given as: [V, d]."""
        found: Tensor = self(torch.arange(self.setting.vocabulary))
        return found

    def table(self) -> Tensor | None:
        """[V, d], if vectors are stored one by one and whole."""
        return None

    def start_from(self, vectors: Tensor, first: int) -> None:
        """Give ids from ``first`` on as these vectors [n, d], if they are stored one by one."""

    def new_vectors(self, signs: Tensor) -> Tensor:
        """[n, d] for new characters with codes ``signs`` [n, K]. Raises UsageError if it can't."""
        raise UsageError(
            "the embedding is factorised: a new character needs a new row there, and"
            " training; only a whole or a Hamming embedding can be extended"
        )

    def new_rows(self, signs: Tensor) -> Mapping[str, Tensor]:
        """Rows to append to tensors, by name, for `new_vectors`; the codebook's are not among
        them."""
        return {}


def negative_log_likelihood(scores: Tensor, ids: Tensor, temperature: float) -> float:
    """Of ids [M], summed, if scores [M, V] over the temperature go through a softmax."""
    chances = torch.log_softmax(scores / temperature, dim=-1)
    return -float(chances.gather(1, ids[:, None])[:, 0].double().sum())
