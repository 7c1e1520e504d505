"""Parameters of the stage that learns codes, torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from hcompress.codes.options import MinDistance
from hcompress.errors import UsageError
from hcompress.heads.emu.options import ClassNet, EmuOptions, Sharpness, Surrogate
from hcompress.strict.schema import Param
from hcompress.training.options import BatchSize, Lines, LineTraining, MatrixRate


class Start(StrEnum):
    """What codes begin as."""

    HEAD = "head"
    """The codes there are: the classifier's own, or those that wait beside a softmax; else the
    sides of its columns."""
    CHANCE = "chance"
    """Nothing: the paper's one stage."""


@dataclass(frozen=True, kw_only=True)
class LearnCodesOptions(LineTraining):
    """How codes are learnt. Raises UsageError if a parameter rules out another."""

    data: Annotated[Path, Lines]
    code_length: Annotated[
        int, Param("bits of a code, K, if the model brings none; a multiple of 8", 8, 4096)
    ] = 512
    start: Annotated[Start, Param("what codes begin as: those there are, or chance")] = Start.HEAD
    embedding: Annotated[
        bool, Param("let codes replace a learned embedding too, if there is one (HE)")
    ] = True
    class_net: Annotated[
        ClassNet,
        Param(
            "what makes a code of an id: a table, or the paper's network, which starts by chance"
        ),
    ] = ClassNet.TABLE
    sharpness: Annotated[
        Sharpness, Param("what says how near to signs tanh(beta x) is: net, schedule or fixed")
    ] = Sharpness.NET
    fixed: Annotated[float, Param("beta, if sharpness is fixed", 0.1, 1000)] = 4.0
    surrogate: Annotated[
        Surrogate, Param("gradients of relaxed signs: the paper's, or tanh's own")
    ] = Surrogate.PAPER
    scale: Annotated[
        float, Param("s, by which cosines are multiplied; the paper's tau, upside down", 0.1, 1000)
    ] = 20.0
    mu: Annotated[float, Param("mu: the beta aimed at is mu over the loss", 0)] = 1.0
    beta_weight: Annotated[
        float,
        Param("lambda: weight of drawing beta up to its aim; the paper's 1e-4 takes long runs", 0),
    ] = 1e-2
    decay: Annotated[float, Param("gamma: of the codes' beta, a moving mean", 0, 0.999999)] = 0.99
    beta_rate: Annotated[
        float, Param("the beta-net's rate, as a multiple: a short run has to hurry it", 0, 1000)
    ] = 20.0
    code_rate: Annotated[float, Param("the codes' rate, as a multiple", 0, 1000)] = 3.0
    body_rate: Annotated[
        float, Param("the rate of decoder or neck, as a share; 0 keeps it as it is", 0, 1)
    ] = 1.0
    backbone_rate: Annotated[
        float, Param("the backbone's share of the rate; 0 keeps it as it is, and is faster", 0, 1)
    ] = 0.0
    lines: Annotated[
        int,
        Param("distinct lines, encoded once and kept in memory; 0 draws new ones at every step", 0),
    ] = 0
    distil: Annotated[float, Param("weight of the distance to the teacher's features", 0)] = 0.0
    rerank: Annotated[
        bool, Param("from now on let the bit logits choose among the five nearest codes")
    ] = False
    min_distance: MinDistance = 1 / 64
    learning_rate: Annotated[float, Param("peak rate", 0)] = 1e-3
    matrix_rate: MatrixRate = 0.0
    batch: BatchSize = 32

    def __post_init__(self) -> None:
        if self.code_length % 8:
            raise UsageError(f"code_length {self.code_length} must be a multiple of 8")
        if self.lines and self.backbone_rate:
            raise UsageError("lines asks for encodings that stay: set backbone_rate = 0")
        if self.slim_routes and not self.body_rate:
            raise UsageError("slim_routes is for a decoder that learns: set body_rate above 0")

    @property
    def emu(self) -> EmuOptions:
        """How the head learns."""
        return EmuOptions(
            self.class_net,
            self.sharpness,
            self.fixed,
            self.surrogate,
            self.scale,
            self.mu,
            self.beta_weight,
            self.decay,
        )


class CodesFrom(StrEnum):
    """Where a foreign classifier's codes begin."""

    LSH = "lsh"
    """Votes of its features under a random projection."""
    WHITENED = "whitened"
    """Its columns, where its features scatter alike to every side."""
