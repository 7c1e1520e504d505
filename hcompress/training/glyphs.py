"""Single characters first: attention finds its alignment fast once the backbone knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hcompress.recogniser.heads import LearnedEmbedding, SoftmaxClassifier
from hcompress.recogniser.model import Recogniser
from hcompress.recogniser.vocabulary import SPECIALS, Vocabulary
from hcompress.training.loop import Loss
from hcompress.training.losses import softmax_loss

if TYPE_CHECKING:
    from hcompress.data.batches import Batch

SMOOTHING = 0.05


class GlyphTrainer(nn.Module):
    """The recogniser's backbone, mean pooling over the positions, one linear layer."""

    def __init__(self, recogniser: Recogniser, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.backbone = recogniser.backbone
        self.columns = nn.Parameter(torch.empty(len(vocabulary), recogniser.config.width))
        nn.init.normal_(self.columns, std=recogniser.config.width**-0.5)
        self._recogniser = [recogniser]
        self._vocabulary = vocabulary

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """uint8 [N, S, S, C], [N, 1] -> the summed loss."""
        pixels = self._recogniser[0].normalise(images)
        features: Tensor = self.backbone(pixels.contiguous(memory_format=torch.channels_last))
        logits = features.mean((2, 3)) @ self.columns.T
        return softmax_loss(logits[:, None], targets, SMOOTHING)

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        ids = [self._vocabulary.encode(text)[:1] for text in batch.texts]
        device = self.columns.device
        total: Tensor = model(
            torch.from_numpy(batch.images).to(device), torch.tensor(ids, device=device)
        )
        return Loss(total, len(ids))

    def hand_over(self) -> None:
        """Copy the columns into the softmax and, scaled to unit features, into the embedding."""
        recogniser = self._recogniser[0]
        classifier, embedding = recogniser.classifier, recogniser.embedding
        known = self.columns.detach()[SPECIALS:]
        with torch.no_grad():
            if isinstance(classifier, SoftmaxClassifier):
                classifier.weight[SPECIALS:] = known
            if isinstance(embedding, LearnedEmbedding):
                embedding.weight[SPECIALS:] = known / known.square().mean().sqrt()
