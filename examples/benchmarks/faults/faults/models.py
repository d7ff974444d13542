"""Small models of digits that clients train, and that the plugin runs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SIDE = 8
"""Digits are squares of so many pixels a side."""

INPUT_SHAPE = (1, SIDE, SIDE)
NUM_CLASSES = 10

Build = Callable[[int], nn.Module]
"""A seed to a model with random weights."""


def build_model(seed: int = 0) -> nn.Module:
    """Build a small convolutional network with batch normalisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * 6 * 6, NUM_CLASSES),
        )


def build_half_model(seed: int = 0) -> nn.Module:
    """Build the same in half precision."""
    return build_model(seed).half()


def build_complex_model(seed: int = 0) -> nn.Module:
    """Build a filter of frequencies, whose weights are complex, before a layer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            FrequencyFilter(), nn.Flatten(), nn.Linear(SIDE * SIDE, NUM_CLASSES)
        )


class FrequencyFilter(nn.Module):
    """Multiply the spectrum of an image by complex weights."""

    def __init__(self) -> None:
        super().__init__()
        shape = SIDE, SIDE // 2 + 1
        self.weight = nn.Parameter(torch.randn(shape, dtype=torch.complex64))

    def forward(self, images: Tensor) -> Tensor:
        """Filter images of any number of channels."""
        filtered = torch.fft.rfft2(images) * self.weight
        return torch.fft.irfft2(filtered, s=(SIDE, SIDE))
