"""The paper's encoder-decoder: backbone, decoder, head. N lines, T steps, V vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.charset import UnknownCharacter
from hcompress.recognisers.attention import Narrow
from hcompress.recognisers.backbones.build import build_backbone
from hcompress.recognisers.backbones.mobilenet import MobileNetV2
from hcompress.recognisers.contract import Decoded, Recogniser, Targets
from hcompress.recognisers.transformer.decoder import Decoder
from hcompress.recognisers.transformer.forcing import forced
from hcompress.recognisers.transformer.positions import memory_positions
from hcompress.recognisers.transformer.routes import slim_route
from hcompress.spec.config import CANDIDATES, BatchNorm, TransformerConfig
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    import onnx

    from hcompress.recognisers.transformer.files import Parts


class Transformer(Recogniser):
    """A backbone over the whole line, and a decoder that reads it character by character."""

    config: TransformerConfig
    memory_positions: Tensor

    def __init__(self, config: TransformerConfig, vocabulary: int) -> None:
        super().__init__(config, vocabulary)
        self.backbone = build_backbone(config)
        self.decoder = Decoder(config)
        self.make_head()
        self.register_buffer("memory_positions", None, persistent=False)

    def fill_tables(self) -> None:
        self.decoder.fill_tables(self.config)
        self.memory_positions = memory_positions(self.config)

    def encode(self, images: Tensor) -> Tensor:
        """uint8 [N, H, W, C] -> memory [N, L, d]."""
        features: Tensor = self.backbone(self._pixels(images))
        return features.flatten(2).transpose(1, 2) + self.memory_positions

    def _pixels(self, images: Tensor) -> Tensor:
        return self.normalise(images).contiguous(memory_format=torch.channels_last)

    def encode_narrow(self, images: Tensor) -> Narrow | None:
        """`encode`, short of the backbone's last linear map.

        None if there is no such map, or it does not widen, or its normalisation is not folded.
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
        """What the decoder sees: `encode_narrow` if there is such a thing, else `encode`."""
        narrow = self.encode_narrow(images)
        return self.encode(images) if narrow is None else narrow

    def rows_of(self, memory: Tensor | Narrow) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        return (memory, None) if isinstance(memory, Tensor) else (memory.rows, memory[1:])

    def memory_of(self, rows: Tensor, common: tuple[Tensor, Tensor] | None) -> Tensor | Narrow:
        return rows if common is None else Narrow(rows, *common)

    def targets(
        self, texts: list[str], vocabulary: Vocabulary, unknown: UnknownCharacter
    ) -> Targets:
        return forced(texts, vocabulary, self.config.max_steps, unknown)

    def embed(self, ids: Tensor) -> Tensor:
        """ids [...] -> [..., d]."""
        assert self.inputs is not None
        vectors: Tensor = self.inputs(ids)
        return vectors

    def states(self, memory: Tensor | Narrow, targets: Targets) -> list[Tensor]:
        """Of every layer: D times [N, T, d], the last of them h."""
        return self.decoder.states(self.embed(targets.inputs), memory)

    def ways(self, memory: Tensor | Narrow, targets: Targets) -> Iterator[list[Tensor]]:
        """`states`, then those along a route that the batch itself draws (`slim_route`)."""
        characters, cross = self.embed(targets.inputs), self.decoder.cross(memory)
        yield self.decoder.run(characters, cross)
        yield self.decoder.run(characters, cross, slim_route(targets.ids, self.config))

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
        """Greedy decoding with a key/value cache."""
        special = self.config.transcription
        assert special.pad is not None
        assert special.bos is not None
        memory = self.encode(images)
        cross_keys, cross_values = self.decoder.cross_keys_values(memory)
        count = len(images)
        keys, values = self.empty_cache(count), self.empty_cache(count)
        last = torch.full((count,), special.bos, dtype=torch.long, device=memory.device)
        ended = torch.zeros(count, dtype=torch.bool, device=memory.device)
        steps: list[tuple[Tensor, Tensor]] = []
        for position in range(self.config.max_steps):
            features, keys, values = self.decoder.step(
                self.embed(last),
                torch.tensor(position, device=memory.device),
                keys,
                values,
                cross_keys,
                cross_values,
            )
            ids, chances = self.head.rank(features, candidates)
            ids = torch.where(ended[:, None], special.pad, ids)
            chances = torch.where(ended[:, None], 1.0, chances)
            steps.append((ids, chances))
            last = ids[:, 0]
            ended = ended | (last == special.eos)
            if bool(ended.all()):
                break
        return Decoded(torch.stack([i for i, _ in steps], 1), torch.stack([p for _, p in steps], 1))

    def _parts(self) -> Parts:
        from hcompress.recognisers.transformer.files import Parts

        assert self.inputs is not None
        return Parts(
            self.config, self.vocabulary, self.backbone, self.head, self.inputs, self.state_dict()
        )

    def graph(
        self,
        metadata: str,
        *,
        store_half: bool,
        weights: Mapping[str, Tensor] | None = None,
        probe: bool = False,
    ) -> onnx.ModelProto:
        from hcompress.recognisers.transformer.files import portable

        return portable(
            self._parts(), metadata, store_half=store_half, weights=weights, probe=probe
        )

    def serving_graphs(
        self, metadata: str, *, store_half: bool, half: bool
    ) -> Mapping[str, onnx.ModelProto]:
        from hcompress.recognisers.transformer.files import serving

        return serving(self._parts(), metadata, store_half=store_half, half=half)
