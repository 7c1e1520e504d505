"""Single characters first: attention finds its alignment fast once the backbone knows them.

Many thousand characters are not learnt all at once: each is seen too seldom. The backbone learns
on some of them; then every character's column is made from the mean features of a few images,
as in linear discriminant analysis, and all are trained on from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hcompress.charset import UnknownCharacter
from hcompress.data.unreadable import is_unreadable
from hcompress.errors import InputRefused
from hcompress.heads.softmax import NOT_COUNTED, softmax_loss
from hcompress.recognisers.transformer.decoder import DecoderLayer
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.vocabulary import Vocabulary
from hcompress.training.loop import Loss

if TYPE_CHECKING:
    from hcompress.data.batches import Batch


SMOOTHING = 0.05
EMBEDDED = 0.1
"""Size of the first output embedding; positions have 0.7."""
HANDED_ON = 2.5
"""How far what was attended to outweighs the rest of h, all layers together, to begin with."""


class GlyphTrainer(nn.Module):
    """The recogniser's backbone, mean pooling over the positions, one linear layer."""

    centre: Tensor

    def __init__(
        self,
        recogniser: Transformer,
        vocabulary: Vocabulary,
        unknown: UnknownCharacter = UnknownCharacter.REFUSE,
    ) -> None:
        super().__init__()
        self.backbone = recogniser.backbone
        self.columns = nn.Parameter(torch.empty(len(vocabulary), recogniser.config.width))
        nn.init.normal_(self.columns, std=recogniser.config.width**-0.5)
        self.register_buffer("centre", torch.zeros(recogniser.config.width))
        self._recogniser = [recogniser]
        self._vocabulary = vocabulary
        self._unknown = unknown

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """uint8 [N, S, S, C], [N, 1] -> the summed loss."""
        logits = self.features(images) @ self.columns.T
        return softmax_loss(logits[:, None], targets, targets != NOT_COUNTED, SMOOTHING)

    def features(self, images: Tensor) -> Tensor:
        """uint8 [N, S, S, C] -> [N, d], less the centre that columns made from means look from."""
        pixels = self._recogniser[0].normalise(images)
        features: Tensor = self.backbone(pixels.contiguous(memory_format=torch.channels_last))
        return features.mean((2, 3)) - self.centre

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        device = self.columns.device
        targets = torch.tensor(self.ids(batch.texts), device=device)[:, None]
        total: Tensor = model(torch.from_numpy(batch.images).to(device), targets)
        counted = int((targets != NOT_COUNTED).sum())
        return Loss(total, counted, len(targets) - counted)

    def ids(self, texts: list[str]) -> list[int]:
        """The id of each text's character; `NOT_COUNTED` if it does not count.

        Raises InputRefused at a text that is not one character, and, unless such are to be left
        out, at one that is not in the charset.
        """
        return [self._id(text) for text in texts]

    def _id(self, text: str) -> int:
        if is_unreadable(text):
            return NOT_COUNTED
        if len(text) != 1:
            raise InputRefused(
                f"single characters: label {text!r} has {len(text)}: give images of one each"
            )
        if text not in self._vocabulary and self._unknown is UnknownCharacter.SKIP_LINE:
            return NOT_COUNTED
        return self._vocabulary.encode(text)[0]

    def hand_over(self, length: float) -> None:
        """Let the recogniser read by these columns, before it has seen a line.

        ``length`` is that of the features (`columns.feature_length`). The softmax gets the columns
        for features as long as the decoder's, sqrt(d); the output embedding gets them small, for at
        first a character's place says more than the character before it. Cross-attention hands on
        what it attends to, so much of it that h is mostly that: where it attends to everything, a
        line of one character is read as the single character was.
        """
        recogniser = self._recogniser[0]
        first = self._vocabulary.first
        known = self.columns.detach()[first:]
        own = recogniser.config.width**0.5
        with torch.no_grad():
            recogniser.head.start_from(known * (length / own), first)
            if recogniser.inputs is not None:
                vectors = EMBEDDED * known / known.square().mean().sqrt()
                recogniser.inputs.start_from(vectors, first)
            gain = HANDED_ON * own / (length * recogniser.config.depth)
            centre = self.centre + recogniser.memory_positions.mean(0)
            for layer in recogniser.decoder.layers:
                assert isinstance(layer, DecoderLayer)
                layer.cross_attention.hand_on(gain, centre)
