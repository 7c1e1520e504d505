"""Known recognisers as torch modules, a few channels wide: what their checkpoints must compute."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hcompress.foreign.checkpoints.mobilenet import Variant

HIDDEN = 6


class Body(nn.Module):
    """A body by the name that its framework gives it, what stands behind it, a linear layer."""

    def __init__(self, name: str, body: nn.Module) -> None:
        super().__init__()
        self.add_module(name, body)
        self.body = name

    def frames(self, images: Tensor) -> Tensor:
        made: Tensor = self.get_submodule(self.body)(images)
        return made.mean(2).permute(2, 0, 1)


class Khmer(Body):
    def __init__(self, classes: int) -> None:
        super().__init__("cnn", _khmer_body())
        self.rnn = nn.LSTM(10, HIDDEN, 2, bidirectional=True)
        self.fc = nn.Linear(2 * HIDDEN, classes)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.fc(self.rnn(self.frames(images))[0])
        return made


def _khmer_body() -> nn.Sequential:
    layers: list[nn.Module] = []
    into = 1
    pools = {0: (2, 2), 1: (2, 2), 3: (2, 1), 5: (2, 1)}
    for place, out in enumerate((3, 4, 5, 5, 8, 8)):
        layers += [nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        if place in pools:
            layers += [nn.MaxPool2d(pools[place]), nn.Dropout2d()]
        into = out
    return nn.Sequential(*layers, nn.Conv2d(8, 10, 2), nn.BatchNorm2d(10), nn.ReLU())


class Sequence1(nn.Module):
    """EasyOCR's layer: an LSTM, and a linear layer behind it."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(into, HIDDEN, bidirectional=True)
        self.linear = nn.Linear(2 * HIDDEN, out)

    def forward(self, value: Tensor) -> Tensor:
        made: Tensor = self.linear(self.rnn(value)[0])
        return made


class EasyOcr(nn.Module):
    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.FeatureExtraction = nn.Module()
        self.FeatureExtraction.ConvNet = body
        self.SequenceModeling = nn.Sequential(Sequence1(width, 7), Sequence1(7, 7))
        self.Prediction = nn.Linear(7, classes)

    def forward(self, images: Tensor) -> Tensor:
        frames = self.FeatureExtraction.ConvNet(images).mean(2).permute(2, 0, 1)
        made: Tensor = self.Prediction(self.SequenceModeling(frames).transpose(0, 1))
        return made


def second_generation(classes: int) -> EasyOcr:
    def step(into: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(into, out, 3, 1, 1), nn.ReLU()]

    def normed(into: int, out: int) -> list[nn.Module]:
        return [nn.Conv2d(into, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]

    layers = [
        *step(1, 2), nn.MaxPool2d(2), *step(2, 3), nn.MaxPool2d(2), *step(3, 4), *step(4, 4),
        nn.MaxPool2d((2, 1)), *normed(4, 5), *normed(5, 5), nn.MaxPool2d((2, 1)),
        nn.Conv2d(5, 5, 2), nn.ReLU(),
    ]  # fmt: skip
    return EasyOcr(nn.Sequential(*layers), 5, classes)


class Block(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        if into != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(into, out, 1, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, value: Tensor) -> Tensor:
        made = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(value)))))
        return torch.relu(made + (self.downsample(value) if hasattr(self, "downsample") else value))


class Residual(nn.Module):
    """EasyOCR's residual net, ``a`` channels at first."""

    def __init__(self, a: int) -> None:
        super().__init__()
        self.steps: list[tuple[str, ...]] = []
        self._conv("conv0_1", "bn0_1", 1, a)
        self._conv("conv0_2", "bn0_2", a, 2 * a)
        width = 2 * a
        for layer, (count, out) in enumerate(
            zip((1, 2, 5, 3), (4 * a, 8 * a, 16 * a, 16 * a), strict=True), 1
        ):
            blocks = [Block(width if not i else out, out) for i in range(count)]
            self.add_module(f"layer{layer}", nn.Sequential(*blocks))
            if layer < 4:
                self.add_module(f"maxpool{layer}", POOLS[layer - 1])
                self.steps.append((f"maxpool{layer}",))
            self.steps.append((f"layer{layer}",))
            if layer < 4:
                self._conv(f"conv{layer}", f"bn{layer}", out, out)
            width = out
        self._conv("conv4_1", "bn4_1", width, width, 2, (2, 1), (0, 1))
        self._conv("conv4_2", "bn4_2", width, width, 2, 1, 0)

    def _conv(
        self, name: str, behind: str, into: int, out: int, kernel: int = 3,
        stride: int | tuple[int, int] = 1, padding: int | tuple[int, int] = 1,
    ) -> None:  # fmt: skip
        self.add_module(name, nn.Conv2d(into, out, kernel, stride, padding, bias=False))
        self.add_module(behind, nn.BatchNorm2d(out))
        self.steps.append((name, behind))

    def forward(self, value: Tensor) -> Tensor:
        for names in self.steps:
            for name in names:
                value = self.get_submodule(name)(value)
            if len(names) == 2:
                value = torch.relu(value)
        return value


POOLS = (nn.MaxPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(2, (2, 1), (0, 1)))


class DocTr(Body):
    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__("feat_extractor", body)
        self.decoder = nn.LSTM(width, HIDDEN, 2, bidirectional=True)
        self.linear = nn.Linear(2 * HIDDEN, classes)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.linear(self.decoder(self.frames(images))[0].transpose(0, 1))
        return made


def vgg(classes: int) -> DocTr:
    layers: list[nn.Module] = []
    into = 3
    for place, outs in enumerate(((2, 2), (4, 4), (8, 8, 8), (16, 16, 16), (16, 16, 16))):
        for out in outs:
            layers += [nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
            into = out
        layers.append(nn.MaxPool2d(2 if place < 2 else (2, 1)))
    return DocTr(nn.Sequential(*layers), 16, classes)


class Squeeze(nn.Module):
    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, narrow, 1)
        self.fc2 = nn.Conv2d(narrow, channels, 1)

    def forward(self, value: Tensor) -> Tensor:
        inner = torch.relu(self.fc1(value.mean((2, 3), keepdim=True)))
        made: Tensor = value * nn.functional.hardsigmoid(self.fc2(inner))
        return made


class Inverted(nn.Module):
    def __init__(self, layers: Sequence[nn.Module], same: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(*layers)
        self.same = same

    def forward(self, value: Tensor) -> Tensor:
        made: Tensor = self.block(value)
        return made + value if self.same else made


def mobilenet(variant: Variant, classes: int) -> DocTr:
    def normed(
        into: int,
        out: int,
        kernel: int,
        act: nn.Module | None,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
    ) -> nn.Sequential:
        plain = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(plain, nn.BatchNorm2d(out, eps=1e-3), act or nn.Identity())

    layers: list[nn.Module] = [normed(3, 16, 3, nn.Hardswish(), 2)]
    into = 16
    for one in variant.blocks:
        act: nn.Module = nn.Hardswish() if one.hard else nn.ReLU()
        inner = [normed(into, one.inner, 1, act)] if one.inner != into else []
        parts: list[nn.Module] = [*inner]
        parts.append(normed(one.inner, one.inner, one.kernel, act, one.stride, one.inner))
        if one.squeezed:
            parts.append(Squeeze(one.inner, one.narrow))
        parts.append(normed(one.inner, one.out, 1, None))
        layers.append(Inverted(parts, one.stride == (1, 1) and into == one.out))
        into = one.out
    layers.append(normed(into, variant.width, 1, nn.Hardswish()))
    return DocTr(nn.Sequential(*layers), variant.width, classes)


def lively(module: nn.Module) -> nn.Module:
    """With statistics as if it had been trained, and answers that differ."""
    torch.manual_seed(5)
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            assert one.running_mean is not None
            assert one.running_var is not None
            one.running_mean.normal_(0, 0.3)
            one.running_var.uniform_(0.3, 2)
            one.weight.data.uniform_(0.5, 1.5)
            one.bias.data.normal_(0.2, 0.3)
    return module.eval()
