"""A CTC recogniser: columns, neck, head. N lines, T columns, V vocabulary, d = width."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hcompress.charset import UnknownCharacter
from hcompress.heads.contract import Losses
from hcompress.recognisers.contract import Decoded, Recogniser, Targets
from hcompress.recognisers.ctc.alignment import (
    Labels,
    RowSums,
    aligned,
    ctc_loss,
    row_sums,
    sampled_sums,
)
from hcompress.recognisers.ctc.columns import Columns
from hcompress.recognisers.ctc.neck import Neck
from hcompress.spec.config import CANDIDATES
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    import onnx

SCORES = 1 << 24
"""Scores held at once, when columns are ranked and when they learn."""


class Ctc(Recogniser):
    """A class or a blank for every column of a line of any width, all at once.

    Its targets are labels, blank behind their ends, with one place more than characters, so that a
    line without any counts too. Which columns they mean, the loss and `decided` find out.
    """

    config: CtcConfig
    backbone: Columns
    framewise: ClassVar[bool] = True

    def __init__(self, config: CtcConfig, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.backbone = Columns(config)
        self.neck = Neck(config) if config.neck else None
        self.make_head()

    @property
    def blank(self) -> int:
        assert self.config.transcription.blank is not None
        return self.config.transcription.blank

    def targets(
        self, texts: list[str], vocabulary: Vocabulary, unknown: UnknownCharacter
    ) -> Targets:
        """Labels [N, L + 1]."""
        skip = unknown is UnknownCharacter.SKIP_LINE
        rows = [
            None if skip and vocabulary.unknown(text) is not None else vocabulary.encode(text)
            for text in texts
        ]
        longest = max((len(row) for row in rows if row is not None), default=0)
        ids = torch.full((len(rows), longest + 1), self.blank)
        counted = torch.zeros_like(ids, dtype=torch.bool)
        for line, row in enumerate(rows):
            if row is not None:
                ids[line, : len(row)] = torch.tensor(row, dtype=torch.long)
                counted[line, : len(row) + 1] = True
        return Targets(ids, ids, counted)

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, C] -> [N, T, d]."""
        pixels = self.normalise(images).contiguous(memory_format=torch.channels_last)
        columns: Tensor = self.backbone(pixels)
        return columns[:, :, 0].transpose(1, 2)

    def states(self, memory: Tensor, targets: Targets) -> list[Tensor]:
        """h alone, of every column whatever the targets."""
        return [memory if self.neck is None else self.neck(memory)]

    def shares(self, features: Tensor, targets: Targets) -> Tensor:
        """Every column of a line counts the same."""
        steps = features.shape[1]
        share = targets.counted.sum(1, keepdim=True) / steps
        return share.expand(-1, steps)

    def label_loss(
        self,
        logits: Tensor,
        targets: Targets,
        losses: Losses,
        soft: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """The CTC loss over all classes. Of codes, the hinge of the likeliest path's bits beside
        it: of the teacher's path, if there is a teacher."""
        labels = self._labels(targets)
        sums = self._row_sums(logits, labels.columns(), losses.rivals)
        loss = (ctc_loss(sums, labels) * targets.counted.any(1)).sum()
        shares = self.shares(logits, targets)
        if self.config.head.code_length is None:
            if losses.smoothing:
                even = ((sums.total - sums.mean) * shares).sum()
                loss = (1 - losses.smoothing) * loss + losses.smoothing * even
            return loss
        ids, found = self._path(sums, labels) if soft is None else _teachers(soft, labels)
        bits = replace(losses, code_cross_entropy=0.0)
        hinge = self.head.loss(logits, ids, shares * found[:, None], bits)
        return (losses.code_cross_entropy or 1.0) * loss + hinge

    def _row_sums(self, logits: Tensor, columns: Tensor, rivals: int = 0) -> RowSums:
        """Of the head's logits [N, T, ...]; a few lines at a time where the scores of all would
        take too much memory, and then worked out once more on the way back. With ``rivals``, so
        many classes stand for all that are in no label."""
        if rivals:
            near, drawn = torch.unique(columns), self._rivals(columns, rivals)
            if len(drawn):
                of = self.head.learnt_scores
                known, others = of(logits, near).float(), of(logits, drawn).float()
                return sampled_sums(known, others, near, columns, self.vocabulary)

        def some(logits: Tensor, columns: Tensor) -> RowSums:
            return row_sums(self.head.learnt_scores(logits).float(), columns)

        lines = max(1, SCORES // (self.vocabulary * logits.shape[1]))
        if lines >= len(logits):
            return some(logits, columns)
        parts = [
            checkpoint(some, *part, use_reentrant=False)
            for part in zip(torch.split(logits, lines), torch.split(columns, lines), strict=True)
        ]
        return RowSums(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _rivals(self, columns: Tensor, count: int) -> Tensor:
        """Classes that are in no label, by a chance that the labels decide: a run that is taken up
        again draws the same."""
        seed = zlib.crc32(columns.cpu().numpy().tobytes())
        drawn = torch.randint(
            self.vocabulary, (count,), generator=torch.Generator().manual_seed(seed)
        ).to(columns.device)
        return drawn[~torch.isin(drawn, columns)]

    @torch.no_grad()
    def _path(self, sums: RowSums, labels: Labels) -> tuple[Tensor, Tensor]:
        """The ids [N, T] of the likeliest path, and whether there is one."""
        near, _ = labels.among_columns()
        places, found = aligned(sums.along, near)
        return labels.columns().gather(1, places), found

    def decided(self, memory: Tensor, targets: Targets) -> tuple[Tensor, Tensor]:
        """Every column of a line and what it stands for on the likeliest path of the label."""
        h = self.features(memory, targets)
        parts = []
        for line in range(len(h)):  # the scores of a whole batch could be a GiB
            one = Targets(*(part[line : line + 1] for part in targets))
            scores = self.head.learnt_scores(self.head.logits(h[line : line + 1]))
            parts.append(aligned(scores.float(), self._labels(one)))
        ids, found = (torch.cat(part) for part in zip(*parts, strict=True))
        kept = found & targets.counted.any(1)
        return h[kept].flatten(0, 1), ids[kept].flatten()

    def _labels(self, targets: Targets) -> Labels:
        lengths = (targets.counted.sum(1) - 1).clamp(min=0)
        return Labels(targets.ids[:, :-1], lengths, self.blank)

    @torch.inference_mode()
    def read(self, images: Tensor, candidates: int = CANDIDATES) -> Decoded:
        """The best classes of every column."""
        memory = self.encode(images)
        h = memory if self.neck is None else self.neck(memory)
        rows = max(1, SCORES // self.vocabulary)
        parts = [self.head.rank(part, candidates) for part in h.flatten(0, 1).split(rows)]
        ids, chances = (torch.cat(part) for part in zip(*parts, strict=True))
        shape = *h.shape[:2], -1
        return Decoded(ids.view(shape), chances.view(shape))

    def graph(
        self,
        metadata: str,
        *,
        store_half: bool,
        weights: Mapping[str, Tensor] | None = None,
        probe: bool = False,
    ) -> onnx.ModelProto:
        from hcompress.recognisers.ctc.graph import Parts, portable

        parts = Parts(
            self.config,
            self.vocabulary,
            self.backbone,
            self.neck,
            self.head,
            self.state_dict() if weights is None else weights,
        )
        return portable(parts, metadata, store_half=store_half, probe=probe)


@torch.no_grad()
def _teachers(soft: Callable[[], Tensor], labels: Labels) -> tuple[Tensor, Tensor]:
    """The same by a teacher's logits."""
    return aligned(soft().float(), labels)
