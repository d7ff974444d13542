"""The models: torchvision's ResNet-18 and a small CNN without buffers, from scratch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

State = dict[str, Tensor]
"""A model's arrays by name, parameters and buffers, as in its ``state_dict``."""

NUM_CLASSES = 8
GROUP_SIZE = 8


def groupnorm_cnn(num_classes: int) -> nn.Module:
    """Build three convolutions with group normalisation, which has no buffers."""
    return nn.Sequential(
        *_block(3, 16),
        *_block(16, 32),
        *_block(32, 64),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, num_classes),
    )


MODELS: dict[str, Callable[[int], nn.Module]] = {
    "resnet18": lambda num_classes: resnet18(num_classes=num_classes),
    "groupnorm-cnn": groupnorm_cnn,
}
"""The number of classes to a model, by its name in the run config."""


def find_model(name: str) -> Callable[[int], nn.Module]:
    """Return what builds the model of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if name not in MODELS:
        allowed = ", ".join(repr(known) for known in MODELS)
        raise ValueError(f"unknown model {name!r}: use one of {allowed}")
    return MODELS[name]


def build_model(
    seed: int, num_classes: int = NUM_CLASSES, name: str = "resnet18"
) -> nn.Module:
    """Build a model with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return find_model(name)(num_classes)


def model_with(
    state: State, num_classes: int, device: torch.device, name: str = "resnet18"
) -> nn.Module:
    """Build a model with a copy of the given state, drawing no random weights."""
    with torch.device("meta"):
        model = find_model(name)(num_classes)
    model = model.to_empty(device=device)
    model.load_state_dict(state)
    return model


def _block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
    convolve = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
    return [
        convolve(num_inputs, num_outputs),
        nn.GroupNorm(num_outputs // GROUP_SIZE, num_outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ]
