"""The three networks of the sample application.

Both take ``float32[N, 3, 32, 32]`` (RGB, scaled to [0, 1], normalised with the mean and standard deviation of
``preprocessor_config.json``) and return ``float32[N, 10]`` logits, plus the penultimate features on request.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ResNet8(nn.Module):
    """MLPerf Tiny's image classification reference (Banbury et al. 2021): 78 k parameters, 12.5 M multiply-adds."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = _conv_bn(3, 16, 3)
        self.stages = nn.ModuleList([_Residual(16, 16, 1), _Residual(16, 32, 2), _Residual(32, 64, 2)])
        self.head = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.relu(self.stem(x))
        for stage in self.stages:
            x = stage(x)
        features = x.mean(dim=(2, 3))
        return self.head(features), features


class LiteNet(nn.Module):
    """Stands in for ResNet8 on a device that has no time for it: three strided convolutions, 19 k parameters, 0.6 M multiply-adds."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_conv_bn(3, 16, 3, 2), _conv_bn(16, 32, 3, 2), _conv_bn(32, 48, 3, 2)])
        self.head = nn.Linear(48, classes)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for layer in self.layers:
            x = F.relu(layer(x))
        features = x.mean(dim=(2, 3))
        return self.head(features), features


class _Residual(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = _conv_bn(channels_in, channels_out, 3, stride)
        self.second = _conv_bn(channels_out, channels_out, 3)
        identity = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if identity else nn.Conv2d(channels_in, channels_out, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def _conv_bn(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(channels_out)
    )


class CloudNet(nn.Module):
    """A plain VGG-like network after Jordan 2024 ("94 % on CIFAR-10 in 3.29 seconds"): a frozen whitening convolution
    computed from the training photos, three groups of two convolutions, max-pooling, a linear head."""

    def __init__(self, widths: tuple[int, int, int] = (64, 256, 256), classes: int = 10) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2, bias=True)
        self.whiten.weight.requires_grad = False
        self.groups = nn.ModuleList(
            [_Group(24, widths[0]), _Group(widths[0], widths[1]), _Group(widths[1], widths[2])]
        )
        self.head = nn.Linear(widths[2], classes, bias=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = F.gelu(self.whiten(x))
        for group in self.groups:
            x = group(x)
        features = F.max_pool2d(x, 3).flatten(1)
        return self.head(features) / 9.0, features

    @torch.no_grad()
    def init_whitening(self, photos: torch.Tensor, eps: float = 5e-4) -> None:
        """``photos``: normalised ``float32[N, 3, 32, 32]``; sets the first layer to the whitening of 2x2 patches."""
        patches = photos.unfold(2, 2, 1).unfold(3, 2, 1).transpose(1, 3).reshape(-1, 3, 2, 2).float()
        flat = patches.reshape(len(patches), -1)
        values, vectors = torch.linalg.eigh((flat.T @ flat) / len(flat))
        basis = vectors.T.reshape(-1, 3, 2, 2).flip(0) / torch.sqrt(values.flip(0).reshape(-1, 1, 1, 1) + eps)
        self.whiten.weight.copy_(torch.cat((basis, -basis)))
        self.whiten.bias.zero_()


class _Group(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = _dirac(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False))
        self.norm1 = _BatchNorm(channels_out)
        self.conv2 = _dirac(nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False))
        self.norm2 = _BatchNorm(channels_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class _BatchNorm(nn.BatchNorm2d):
    """Batch norm whose scale stays 1: the recipe trains only its bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.weight.requires_grad = False


def _dirac(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.dirac_(conv.weight[: conv.weight.size(1)])
    return conv
