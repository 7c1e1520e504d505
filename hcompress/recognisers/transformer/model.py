"""The recogniser: backbone, decoder, embedding, classifier. N lines, T steps, V vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hcompress.charset import BOS, EOS, FIRST_READABLE, PAD
from hcompress.compute.shapes import shapes_only
from hcompress.heads.build import build_classifier, build_embedding
from hcompress.heads.hamming.module import hamming_scores
from hcompress.recognisers.backbones.mobilenet import MobileNetV2
from hcompress.recognisers.backbones.resnet31 import ResNet31
from hcompress.recognisers.transformer.decoder import Decoder, Narrow, sinusoid
from hcompress.spec.config import (
    CANDIDATES,
    Backbone,
    BatchNorm,
    Classifier,
    Embedding,
    RecogniserConfig,
)


@dataclass(frozen=True)
class Decoded:
    """Greedy decoding's answer. After a line's EOS its ids are PAD and its probabilities 1."""

    ids: Tensor
    """[N, T, k] candidates of each step, best first; ties go to the lowest id."""
    probabilities: Tensor
    """[N, T, k]."""


class Recogniser(nn.Module):
    """An encoder-decoder with interchangeable parts, as `RecogniserConfig` says."""

    codebook: Tensor
    memory_positions: Tensor

    def __init__(self, config: RecogniserConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        folded = config.batch_norm is BatchNorm.FOLDED
        family: dict[Backbone, type[MobileNetV2 | ResNet31]]
        family = {Backbone.MOBILENET_V2: MobileNetV2, Backbone.RESNET31: ResNet31}
        self.backbone = family[config.backbone](config.width, config.backbone_width, folded=folded)
        self.decoder = Decoder(config)
        self.embedding = build_embedding(config, vocabulary)
        self.classifier = build_classifier(config, vocabulary)
        self.register_buffer("memory_positions", grid_positions(config), persistent=False)
        if config.code_length is not None:
            packed = torch.zeros(vocabulary, config.code_length // 8, dtype=torch.uint8)
            self.register_buffer("codebook", packed)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, C] -> float [N, C, H, W] as the backbone wants it."""
        size = self.config.preprocessing
        scaled = images.permute(0, 3, 1, 2).float() / 255
        return (scaled - size.mean) / size.std

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, C] -> memory [N, L, d]."""
        features: Tensor = self.backbone(self._pixels(images))
        return features.flatten(2).transpose(1, 2) + self.memory_positions

    def _pixels(self, images: Tensor) -> Tensor:
        return self.normalise(images).contiguous(memory_format=torch.channels_last)

    def encode_narrow(self, images: Tensor) -> Narrow | None:
        """`encode`, short of the backbone's last linear map.

        None where there is no such map, or it does not widen, or its normalisation is not folded.
        """
        backbone = self.backbone
        if not isinstance(backbone, MobileNetV2) or self.config.batch_norm is BatchNorm.LIVE:
            return None
        last = backbone.output.conv
        assert last.bias is not None
        if last.in_channels >= last.out_channels:
            return None
        rows = backbone.narrow(self._pixels(images)).flatten(2).transpose(1, 2)
        return Narrow(rows, last.weight[:, :, 0, 0], last.bias + self.memory_positions)

    def memory(self, images: Tensor) -> Tensor | Narrow:
        """What the decoder sees: `encode_narrow` where there is such a thing, else `encode`."""
        narrow = self.encode_narrow(images)
        return self.encode(images) if narrow is None else narrow

    def signs(self) -> Tensor:
        """The codebook as signs [V, K], float. Unpacked at each call: keep the result."""
        shifts = torch.arange(8, dtype=torch.uint8, device=self.codebook.device)
        bits = (self.codebook[:, :, None] >> shifts) & 1
        return bits.flatten(1).float() * 2 - 1

    def embed(self, ids: Tensor, signs: Tensor | None) -> Tensor:
        """ids [...] -> [..., d]. ``signs`` is `signs()` where the embedding is a Hamming one."""
        if self.config.embedding is Embedding.LEARNED:
            learned: Tensor = self.embedding(ids)
            return learned
        assert signs is not None
        projected: Tensor = self.embedding(nn.functional.embedding(ids, signs))
        return projected

    def features(self, memory: Tensor | Narrow, ids: Tensor, signs: Tensor | None) -> Tensor:
        """Teacher forcing: ids [N, T] (BOS first) -> h [N, T, d]."""
        return self.states(memory, ids, signs)[-1]

    def states(self, memory: Tensor | Narrow, ids: Tensor, signs: Tensor | None) -> list[Tensor]:
        """As `features`, of every layer: D times [N, T, d], the last of them h."""
        return self.decoder.states(self.embed(ids, signs), memory)

    def scores(self, features: Tensor, signs: Tensor | None) -> Tensor:
        """h [..., d] -> a score per character [..., V]; PAD and BOS are never readable."""
        return self._scores_of(self.classifier(features), signs)

    def _scores_of(self, logits: Tensor, signs: Tensor | None) -> Tensor:
        if self.config.classifier is Classifier.HAMMING:
            assert signs is not None
            logits = hamming_scores(logits, signs)
        blocked = torch.zeros(self.vocabulary, dtype=logits.dtype, device=logits.device)
        blocked[:FIRST_READABLE] = float("-inf")
        return logits + blocked

    def code_signs(self) -> Tensor | None:
        """`signs()` where there is a codebook, else None."""
        return self.signs() if self.config.uses_codes else None

    def empty_cache(self, count: int) -> Tensor:
        """Zeros [D, N, H, T, d/H]: one decoding's key cache, or its value cache."""
        config = self.config
        return torch.zeros(
            config.depth,
            count,
            config.heads,
            config.max_steps,
            config.width // config.heads,
            device=self.memory_positions.device,
        )

    @torch.inference_mode()
    def read(self, images: Tensor, candidates: int = CANDIDATES) -> Decoded:
        """Greedy decoding with a key/value cache. uint8 [N, H, W, C] -> `Decoded`.

        A reranking recogniser gives `CANDIDATES` at most, the ones it looks at twice.
        """
        signs = self.code_signs()
        memory = self.encode(images)
        cross_keys, cross_values = self.decoder.cross_keys_values(memory)
        count = len(images)
        keys, values = self.empty_cache(count), self.empty_cache(count)
        last = torch.full((count,), BOS, dtype=torch.long, device=memory.device)
        ended = torch.zeros(count, dtype=torch.bool, device=memory.device)
        steps: list[tuple[Tensor, Tensor]] = []
        for position in range(self.config.max_steps):
            features, keys, values = self.decoder.step(
                self.embed(last, signs),
                torch.tensor(position, device=memory.device),
                keys,
                values,
                cross_keys,
                cross_values,
            )
            ids, chances = self._answer(features, signs, candidates)
            ids = torch.where(ended[:, None], PAD, ids)
            chances = torch.where(ended[:, None], 1.0, chances)
            steps.append((ids, chances))
            last = ids[:, 0]
            ended = ended | (last == EOS)
            if bool(ended.all()):
                break
        return Decoded(torch.stack([i for i, _ in steps], 1), torch.stack([p for _, p in steps], 1))

    def _answer(
        self, features: Tensor, signs: Tensor | None, candidates: int
    ) -> tuple[Tensor, Tensor]:
        """h [N, d] -> the best ids and their probabilities, both [N, k].

        Probabilities are NaN where the classifier's logits are not finite.
        """
        logits: Tensor = self.classifier(features)
        kept = CANDIDATES if self.config.rerank else candidates
        ids, chances = self.rank(self._scores_of(logits, signs), kept)
        if self.config.rerank:
            assert signs is not None
            ids, chances = self.refine(features, signs, ids, chances)
        # A NaN bit has a sign like any other: no distance shows it.
        broken = ~logits.isfinite().all(-1, keepdim=True)
        return ids[:, :candidates], chances[:, :candidates].masked_fill(broken, float("nan"))

    def rank(self, scores: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
        """scores [..., V] -> the best ids [..., k] and their probabilities, ties to the lowest."""
        chances = torch.softmax(scores.float() / self.config.temperature, dim=-1)
        kept = min(candidates, self.vocabulary - FIRST_READABLE)
        # topk promises no order among equals, a stable sort takes as long as the backbone at
        # 20,948 characters, and argmax promises the first of them.
        left, best = scores.clone(), []
        for _ in range(kept):
            best.append(left.argmax(-1, keepdim=True))
            left.scatter_(-1, best[-1], float("-inf"))
        order = torch.cat(best, dim=-1)
        return order, chances.gather(-1, order)

    def refine(
        self, features: Tensor, signs: Tensor, ids: Tensor, chances: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The nearest codes' ids [N, k] in the order of their agreement with the bit logits.

        A sign tells nothing of how sure its bit is. Among the few codes that the signs are nearest
        to, the sum of bit logits, each with the code's sign, decides; what probability the few
        have, they share as that says. No weight more is stored. features [N, d], signs [V, K].
        """
        agreement = self.agreement(features, signs, ids)
        shares = torch.softmax(agreement / (2 * self.config.temperature), dim=-1)
        order = agreement.argsort(dim=-1, descending=True, stable=True)
        shared = chances.sum(-1, keepdim=True) * shares
        return ids.gather(-1, order), shared.gather(-1, order)

    def agreement(self, features: Tensor, signs: Tensor, ids: Tensor) -> Tensor:
        """h [N, d], ids [N, k] -> sums of the bit logits with these codes' signs [N, k]."""
        logits: Tensor = self.classifier(features)
        return (signs[ids] * logits[:, None]).sum(-1)


def grid_positions(config: RecogniserConfig) -> Tensor:
    """[L, d]: half the features tell the row, half the column; kept as two small tables' sum."""
    rows, columns = config.memory_grid
    half = config.width // 2
    if shapes_only():
        return torch.empty(rows * columns, 2 * half)
    row = sinusoid(rows, half)[:, None].expand(rows, columns, half)
    column = sinusoid(columns, half)[None].expand(rows, columns, half)
    return torch.cat([row, column], dim=-1).flatten(0, 1).contiguous()
