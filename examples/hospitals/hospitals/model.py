"""Name to model: a small CNN with group normalisation, or torchvision's ResNet-18."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from hospitals.data import NUM_CLASSES

GROUP_SIZE = 8


def groupnorm_cnn() -> nn.Module:
    """Build three convolutions with group normalisation, which has no buffers."""
    return nn.Sequential(
        *_block(3, 16),
        *_block(16, 32),
        *_block(32, 64),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, NUM_CLASSES),
    )


def resnet18() -> nn.Module:
    """Build torchvision's ResNet-18, with batch normalisation."""
    # Torchvision takes seconds to import, and each reply comes from a new process.
    from torchvision import models

    return models.resnet18(num_classes=NUM_CLASSES)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "groupnorm-cnn": groupnorm_cnn,
    "resnet18": resnet18,
}


def build_model(name: str, seed: int) -> nn.Module:
    """Build the model of that name with random weights that depend on the seed alone.

    Raises
    ------
    ValueError
        If there is no such model; the message lists those there are.
    """
    if name not in MODELS:
        allowed = ", ".join(repr(known) for known in MODELS)
        raise ValueError(f"unknown model {name!r}: use one of {allowed}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name]()


def _block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
    convolve = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
    return [
        convolve(num_inputs, num_outputs),
        nn.GroupNorm(num_outputs // GROUP_SIZE, num_outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
