"""The OSNet architecture, in torch. Imported only when an OSNet checkpoint is loaded.

Zhou, Yang, Cavallaro, Xiang: Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019, without its
classifier, and the variants with instance normalisation that generalise to other cameras: IBN (as in Pan et al. 2018)
and AIN (Zhou et al.: Learning Generalisable Omni-Scale Representations, 2019). Attributes carry the names under which
published checkpoints store their tensors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

STEM_KERNEL = 7
REDUCTION = 4  # a block works on a quarter of its output channels
GATE_REDUCTION = 16
STEM = "conv1"
AFTER, BEFORE = "after", "before"  # where a block normalises each instance: behind its sum (IBN), ahead of it (AIN)


class ConvNorm(nn.Module):
    """Convolution, batch normalisation and, where `relu` is set, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, norm: type[nn.Module] = nn.BatchNorm2d, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, 2 if kernel == STEM_KERNEL else 1, kernel // 2, bias=False)
        affine = {"affine": True} if norm is nn.InstanceNorm2d else {}
        self.bn: nn.Module = norm(outputs, **affine)
        self.relu: nn.Module = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, outputs, h', w')``."""
        return self.relu(self.bn(self.conv(x)))

    def fold(self) -> None:
        """Fold the normalisation into the convolution."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv, self.bn = fuse_conv_bn_eval(self.conv, self.bn), nn.Identity()


class LightConv(nn.Module):
    """The paper's lite 3×3 convolution: 1×1 across channels, then 3×3 within each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the input's shape."""
        return torch.relu_(self.bn(self.conv2(self.conv1(x))))

    def fold(self) -> None:
        """Fold the normalisation into the second convolution."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv2, self.bn = fuse_conv_bn_eval(self.conv2, self.bn), nn.Identity()


class Gate(nn.Module):
    """The paper's aggregation gate: channel weights, shared by the streams, from each stream's own mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(channels // GATE_REDUCTION, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the stream `x`, its channels weighted."""
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


class OmniScaleBlock(nn.Module):
    """A residual block of four streams whose receptive fields are 3, 5, 7 and 9 pixels wide.

    `instance` is `AFTER`, `BEFORE`, or None where instances are not normalised.
    """

    def __init__(self, inputs: int, outputs: int, instance: str | None = None) -> None:
        super().__init__()
        middle = outputs // REDUCTION
        self.conv1 = ConvNorm(inputs, middle, 1)
        self.conv2a = LightConv(middle)
        self.conv2b = nn.Sequential(*[LightConv(middle) for _ in range(2)])
        self.conv2c = nn.Sequential(*[LightConv(middle) for _ in range(3)])
        self.conv2d = nn.Sequential(*[LightConv(middle) for _ in range(4)])
        self.gate = Gate(middle)
        self.conv3 = ConvNorm(
            middle, outputs, 1, norm=nn.Identity if instance == BEFORE else nn.BatchNorm2d, relu=False
        )
        self.instance = instance
        self.IN = None if instance is None else nn.InstanceNorm2d(outputs, affine=True)
        self.downsample = ConvNorm(inputs, outputs, 1, relu=False) if inputs != outputs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, outputs, h, w)``."""
        narrow = self.conv1(x)
        streams = (self.conv2a, self.conv2b, self.conv2c, self.conv2d)
        fused = self.conv3(sum(self.gate(stream(narrow)) for stream in streams))
        if self.IN is not None and self.instance == BEFORE:
            fused = self.IN(fused)
        fused = fused + (x if self.downsample is None else self.downsample(x))
        if self.IN is not None and self.instance == AFTER:
            fused = self.IN(fused)
        return torch.relu_(fused)


class OSNet(nn.Module):
    """OSNet without its classifier: ``(n, 3, h, w)`` to ``(n, feature)``.

    Args:
        channels: Channels of the stem and of the three stages; ``(64, 256, 384, 512)`` is x1_0.
        feature: Length of the embedding.
        instance: Where instances are normalised: block (``conv2.0``) → `AFTER` or `BEFORE`; the stem has `STEM`.
    """

    def __init__(
        self, channels: tuple[int, int, int, int], feature: int, instance: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        stem, second, third, fourth = channels
        self._instance = dict(instance or {})
        norm = nn.InstanceNorm2d if STEM in self._instance else nn.BatchNorm2d
        self.conv1 = ConvNorm(3, stem, STEM_KERNEL, norm=norm)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2 = self._stage("conv2", stem, second, shrink=True)
        self.conv3 = self._stage("conv3", second, third, shrink=True)
        self.conv4 = self._stage("conv4", third, fourth, shrink=False)
        self.conv5 = ConvNorm(fourth, fourth, 1)
        self.fc = nn.Sequential(nn.Linear(fourth, feature), nn.BatchNorm1d(feature), nn.ReLU())

    def _stage(self, name: str, inputs: int, outputs: int, *, shrink: bool) -> nn.Sequential:
        first, second = (self._instance.get(f"{name}.{number}") for number in range(2))
        blocks: list[nn.Module] = [OmniScaleBlock(inputs, outputs, first), OmniScaleBlock(outputs, outputs, second)]
        if shrink:
            blocks.append(nn.Sequential(ConvNorm(outputs, outputs, 1), nn.AvgPool2d(2, stride=2)))
        return nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(n, feature)`` features of ImageNet-normalised RGB crops."""
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.conv4(self.conv3(self.conv2(x))))
        return self.fc(x.mean((2, 3)))

    def fold(self) -> OSNet:
        """Fold every normalisation into the convolution before it (inference only); return self."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm | LightConv):
                module.fold()
        return self
