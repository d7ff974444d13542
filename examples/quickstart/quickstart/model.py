"""The model: a small CNN with batch normalisation, from scratch."""

from __future__ import annotations

import torch
from torch import nn

from quickstart.data import NUM_CLASSES


def build_model(seed: int) -> nn.Module:
    """Build three convolutions with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            *_block(3, 8),
            *_block(8, 16),
            *_block(16, 32),
            nn.Flatten(),
            nn.Linear(288, NUM_CLASSES),
        )


def _block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(num_inputs, num_outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
