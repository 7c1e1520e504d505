"""What every recogniser is to the rest: image -> decision features h -> head -> ids -> text.

N lines, T steps, M decisions, V = vocabulary, d = width, k candidates. Training, codebooks,
evaluation, parity, export and sizes know this class and no family by its name. What needs the
inside of one family says so in one line.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hcompress.charset import UnknownCharacter
from hcompress.errors import UsageError
from hcompress.heads.build import build_head, build_inputs
from hcompress.heads.contract import Head, Inputs, Losses, Setting
from hcompress.heads.hamming.signs import Signs
from hcompress.recognisers.backbones.layers import Backbone
from hcompress.spec.config import CANDIDATES, RecogniserConfig
from hcompress.spec.heads import CODEBOOK
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Decoded:
    """What was read. Steps after a line's end hold padding, with probability 1."""

    ids: Tensor
    """[N, T, k] candidates of each step, best first; ties go to the lowest id."""
    probabilities: Tensor
    """[N, T, k]."""


class Targets(NamedTuple):
    """What a batch's texts ask for, step by step."""

    inputs: Tensor
    """[N, T]: what the body is given at each step, if it is given anything."""
    ids: Tensor
    """[N, T]: what should be answered."""
    counted: Tensor
    """bool [N, T]: the steps that count; none of a line that can't be learnt from."""

    def to(self, device: torch.device) -> Targets:
        return Targets(*(part.to(device) for part in self))


class Recogniser(nn.Module):
    """The base of every family. ``classifier`` and ``embedding`` are the halves of its head."""

    codebook: Tensor
    config: RecogniserConfig
    backbone: Backbone
    """What every image goes through first; what may be frozen, kept or swapped."""
    framewise: ClassVar[bool] = False
    """Whether steps are places of the image, as many as it is wide: which of them stands for a
    character, no label says."""

    def __init__(self, config: RecogniserConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self._signs = Signs(self._packed)

    def make_head(self) -> None:
        """Make both halves of the head, and room for codes: called once the body is there, so
        that first weights are drawn in the order that files were made in."""
        config, inputs = self.config, self.config.inputs
        setting = Setting(
            self.vocabulary,
            config.width,
            config.transcription.first_answer,
            config.temperature,
            self.signs,
        )
        self.embedding = None if inputs is None else build_inputs(inputs, setting)
        self.classifier = build_head(config.head, setting)
        if config.code_length is not None:
            packed = torch.zeros(self.vocabulary, config.code_length // 8, dtype=torch.uint8)
            self.register_buffer(CODEBOOK, packed)

    def fill_tables(self) -> None:
        """Work out the tensors that no file holds, once there is memory for them.

        `build` and `complete` ask for it: made as an outline, a recogniser has no values.
        """

    @property
    def head(self) -> Head:
        assert isinstance(self.classifier, Head)
        return self.classifier

    @property
    def inputs(self) -> Inputs | None:
        """The head's other half; None if nothing is given back to the body."""
        found = self.embedding
        assert found is None or isinstance(found, Inputs)
        return found

    def _packed(self) -> Tensor:
        return self.codebook

    def signs(self) -> Tensor:
        """The codes as -1 and +1, [V, K], kept as long as the codebook stays. Raises LookupError
        if there are none."""
        if self.config.code_length is None:
            raise LookupError("this recogniser has no codebook")
        return self._signs()

    def inside(self, what: str) -> UsageError:
        """The error for what needs a part that this family has not."""
        return UsageError(f"{what} is not for a recogniser of the family {self.config.family}")

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, C] -> float [N, C, H, W] as a backbone wants it."""
        size = self.config.preprocessing
        scaled = images.permute(0, 3, 1, 2).float() / 255
        means, stds = (scaled.new_tensor(each)[:, None, None] for each in (size.means, size.stds))
        return (scaled - means) / stds

    @abstractmethod
    def targets(
        self, texts: list[str], vocabulary: Vocabulary, unknown: UnknownCharacter
    ) -> Targets:
        """What these texts ask for. Raises InputRefused at an unknown character, unless skipped."""

    @abstractmethod
    def encode(self, images: Tensor) -> Any:
        """uint8 [N, H, W, C] -> what the steps look at; for `states` alone."""

    def memory(self, images: Tensor) -> Any:
        """`encode`, or what stands for it and takes fewer products; nothing learns through it."""
        return self.encode(images)

    def rows_of(self, memory: Any) -> tuple[Tensor, Any]:
        """`memory` as a tensor with a row a line, to be kept line by line, and what they share."""
        rows: Tensor = memory
        return rows, None

    def memory_of(self, rows: Tensor, common: Any) -> Any:
        """The inverse of `rows_of`, for any lines."""
        return rows

    @abstractmethod
    def states(self, memory: Any, targets: Targets) -> list[Tensor]:
        """What each layer over the steps puts out, [N, T, d]; the last is h."""

    def ways(self, memory: Any, targets: Targets) -> Iterator[list[Tensor]]:
        """`states`, then those along a way through less of the body: training along it teaches a
        recogniser to be cut. Raises UsageError at the second if there is no such way."""
        yield self.states(memory, targets)
        raise self.inside("slim_routes")

    @abstractmethod
    def read(self, images: Tensor, candidates: int = CANDIDATES) -> Decoded:
        """uint8 [N, H, W, C] -> what is read there."""

    @abstractmethod
    def graph(
        self,
        metadata: str,
        *,
        store_half: bool,
        weights: Mapping[str, Tensor] | None = None,
        probe: bool = False,
    ) -> onnx.ModelProto:
        """images uint8 [N, H, W, C] -> ids int64 [N, T, k], probabilities float32 [N, T, k].

        The same answers as `read`. ``weights`` are the model's as a file has them, if some are
        int8. With ``probe`` the logits of a head that is searched outside, [N, T, K], come out
        too, as `bit_logits`.
        """

    def serving_graphs(
        self, metadata: str, *, store_half: bool, half: bool
    ) -> Mapping[str, onnx.ModelProto]:
        """What a GPU server runs, by file name; none if `graph` is all there is."""
        return {}

    def features(self, memory: Any, targets: Targets) -> Tensor:
        """h [N, T, d]."""
        return self.states(memory, targets)[-1]

    def decisions(self, images: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Teacher forcing: uint8 [N, H, W, C] -> features h [M, d] and ids [M] of what counts."""
        return self.decided(self.memory(images), targets)

    def decided(self, memory: Any, targets: Targets) -> tuple[Tensor, Tensor]:
        """`decisions`, of what `memory` gives."""
        h = self.features(memory, targets)
        return h[targets.counted], targets.ids[targets.counted]

    def label_loss(
        self,
        logits: Tensor,
        targets: Targets,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """The summed loss of the head's logits [N, T, ...] against what texts ask for.

        ``soft`` gives a teacher's logits [N, T, V], if there is one.
        """
        return self.head.loss(logits, targets.ids, targets.counted, losses, soft)

    def shares(self, features: Tensor, targets: Targets) -> Tensor:
        """[N, T]: what each step of ``features`` [N, T, d] counts, all of them what the texts
        count."""
        return targets.counted
