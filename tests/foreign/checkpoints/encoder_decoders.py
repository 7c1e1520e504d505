"""docTR's MASTER and OpenOCR's NRTR as torch modules, some channels wide: what they compute.

Their tensors are called as in the frameworks, into whose classes they load: held against those of
docTR 1.0.1 and 1.1.0 and OpenOCR 0.1.5 by hand (docs/checkpoints.md).
"""

from __future__ import annotations

from torch import Tensor, nn

from hcompress.recognisers.attention import sinusoid
from tests.foreign.checkpoints.nets import Block

LAYERS = 2


def _attended(query: Tensor, keys: Tensor, values: Tensor, heads: int, causal: bool) -> Tensor:
    """[N, T, d] of each, by heads."""
    apart = [one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in (query, keys, values)]
    mixed = nn.functional.scaled_dot_product_attention(*apart, is_causal=causal)
    return mixed.transpose(1, 2).flatten(2)


class _Positions(nn.Module):
    pe: Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.register_buffer("pe", sinusoid(length, width)[None])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


class _Context(nn.Module):
    """Each eighth of the channels looks where it likes; all of it is added to every place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_mask = nn.Conv2d(channels // 8, 1, 1)
        few = channels // 16
        self.transform = nn.Sequential(
            nn.Conv2d(channels, few, 1), nn.LayerNorm([few, 1, 1]), nn.ReLU(),
            nn.Conv2d(few, channels, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        each = x.unflatten(1, (8, -1)).flatten(0, 1)
        looks = (self.conv_mask(each) / each.shape[1] ** 0.5).flatten(2).softmax(-1)
        seen = (each.flatten(2) * looks).sum(-1).reshape(len(x), -1, 1, 1)
        added: Tensor = self.transform(seen)
        return x + added


def _step(into: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(into, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _body(a: int, *, linear: bool) -> nn.ModuleDict:
    """``linear``: docTR 1.1's, without the second ReLU."""
    steps = [*_step(3, a), *_step(a, 2 * a), nn.MaxPool2d(2)]
    layers = {str(place): one for place, one in enumerate(steps)}
    if linear:
        del layers["5"]
    into = 2 * a
    pools: tuple[nn.Module, ...] = (nn.MaxPool2d(2), nn.MaxPool2d((2, 1)))
    for stage, (count, out) in enumerate(
        zip((1, 2, 5, 3), (4 * a, 4 * a, 8 * a, 8 * a), strict=True)
    ):
        blocks = [Block(into if not index else out, out) for index in range(count)]
        behind = [*blocks, _Context(out), *_step(out, out), *pools[stage : stage + 1]]
        layers[str(7 + stage)] = nn.Sequential(*behind)
        into = out
    return nn.ModuleDict(layers)


class _MasterAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_layers = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.output_linear = nn.Linear(width, width)

    def forward(self, x: Tensor, memory: Tensor, causal: bool) -> Tensor:
        parts = [one(y) for one, y in zip(self.linear_layers, (x, memory, memory), strict=True)]
        made: Tensor = self.output_linear(_attended(parts[0], parts[1], parts[2], 8, causal))
        return made


class _MasterDecoder(nn.Module):
    def __init__(self, width: int, classes: int, steps: int) -> None:
        super().__init__()
        for name in ("input", "masked_attention", "attention", "output"):
            self.add_module(f"layer_norm_{name}", nn.LayerNorm(width))
        self.embed = nn.Embedding(classes, width)
        self.positional_encoding = _Positions(steps, width)
        layers = range(LAYERS)
        self.attention = nn.ModuleList(_MasterAttention(width) for _ in layers)
        self.source_attention = nn.ModuleList(_MasterAttention(width) for _ in layers)
        self.position_feed_forward = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, 24), nn.ReLU(), nn.Dropout(), nn.Linear(24, width), nn.Dropout()
            )
            for _ in layers
        )

    def forward(self, ids: Tensor, memory: Tensor) -> Tensor:
        norms = [
            self.get_submodule(f"layer_norm_{name}")
            for name in ("input", "masked_attention", "attention", "output")
        ]
        x = self.positional_encoding(self.embed(ids) * self.embed.embedding_dim**0.5)
        parts = zip(self.attention, self.source_attention, self.position_feed_forward, strict=True)
        for own, source, further in parts:
            normal = norms[0](x)
            x = x + own(normal, normal, True)
            x = x + source(norms[1](x), memory, False)
            x = x + further(norms[2](x))
        made: Tensor = norms[3](x)
        return made


class Master(nn.Module):
    """docTR's: EOS, SOS and PAD are its last classes."""

    def __init__(self, characters: int, *, linear: bool = False, a: int = 8) -> None:
        super().__init__()
        width = 8 * a
        self.feat_extractor = _body(a, linear=linear)
        self.positional_encoding = _Positions(32 * 32, width)
        self.decoder = _MasterDecoder(width, characters + 3, steps=9)
        self.linear = nn.Linear(width, characters + 3)

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """[N, 3, 32, 32] and [N, T] to logits [N, T, V]."""
        x = images
        for layer in self.feat_extractor.values():
            x = layer(x)
        memory = self.positional_encoding(x.flatten(2).transpose(1, 2))
        made: Tensor = self.linear(self.decoder(ids, memory))
        return made


class _NrtrAttention(nn.Module):
    def __init__(self, width: int, heads: int, *, cross: bool) -> None:
        super().__init__()
        self.heads = heads
        self.out_proj = nn.Linear(width, width)
        if cross:
            self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        else:
            self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor, memory: Tensor | None, causal: bool) -> Tensor:
        if memory is None:
            parts = self.qkv(x).chunk(3, -1)
        else:
            parts = (self.q(x), *self.kv(memory).chunk(2, -1))
        made: Tensor = self.out_proj(_attended(*parts, self.heads, causal))
        return made


class _Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.fc2(self.fc1(x).relu())
        return made


class _NrtrLayer(nn.Module):
    def __init__(self, width: int, heads: int, *, cross: bool) -> None:
        super().__init__()
        self.self_attn = _NrtrAttention(width, heads, cross=False)
        self.norm1 = nn.LayerNorm(width)
        if cross:
            self.cross_attn = _NrtrAttention(width, heads, cross=True)
            self.norm2 = nn.LayerNorm(width)
        self.mlp = _Mlp(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        x = self.norm1(x + self.self_attn(x, None, memory is not None))
        if memory is not None:
            x = self.norm2(x + self.cross_attn(x, memory, False))
        made: Tensor = self.norm3(x + self.mlp(x))
        return made


class _NrtrDecoder(nn.Module):
    def __init__(self, width: int, characters: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Module()
        self.embedding.embedding = nn.Embedding(characters + 3, width, padding_idx=0)
        self.positional_encoding = _Positions(40, width)
        self.encoder = nn.ModuleList(_NrtrLayer(width, heads, cross=False) for _ in range(LAYERS))
        self.decoder = nn.ModuleList(_NrtrLayer(width, heads, cross=True) for _ in range(LAYERS))
        self.tgt_word_prj = nn.Linear(width, characters + 1, bias=False)

    def forward(self, columns: Tensor, ids: Tensor) -> Tensor:
        memory = self.positional_encoding(columns)
        for layer in self.encoder:
            memory = layer(memory)
        x = self.embedding.embedding(ids) * columns.shape[-1] ** 0.5
        x = self.positional_encoding(x)
        for layer in self.decoder:
            x = layer(x, memory)
        made: Tensor = self.tgt_word_prj(x)
        return made


class Nrtr(nn.Module):
    """OpenOCR's: EOS is its class 0; BOS and PAD are its last ids, and no classes."""

    def __init__(self, characters: int, heads: int = 4, channels: int = 8) -> None:
        super().__init__()
        few = channels // 2
        self.encoder = nn.Module()
        self.encoder.block = nn.Sequential(
            nn.Conv2d(3, few, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(few),
            nn.Conv2d(few, channels, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(channels),
        )  # fmt: skip
        self.decoder = _NrtrDecoder(4 * channels, characters, heads)

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """[N, 3, 16, W] and [N, T] to logits [N, T, V + 1]."""
        columns = self.encoder.block(images).permute(0, 3, 2, 1).flatten(2)
        made: Tensor = self.decoder(columns, ids)
        return made


def lively(module: nn.Module) -> nn.Module:
    """Norms with statistics, gains and biases that count; in eval mode."""
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(one.weight, 0.5, 1.5)
            nn.init.normal_(one.bias, 0, 0.3)
        if isinstance(one, nn.BatchNorm2d):
            assert one.running_mean is not None
            assert one.running_var is not None
            nn.init.normal_(one.running_mean, 0, 0.3)
            nn.init.uniform_(one.running_var, 0.5, 2)
    return module.eval()
