"""The model: torchvision's ResNet-18, from scratch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

State = dict[str, Tensor]
"""A model's arrays by name, parameters and buffers, as in its ``state_dict``."""

NUM_CLASSES = 8


def build_model(seed: int, num_classes: int = NUM_CLASSES) -> nn.Module:
    """Build a ResNet-18 with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet18(num_classes=num_classes)


def model_with(state: State, num_classes: int, device: torch.device) -> nn.Module:
    """Build a ResNet-18 with a copy of the given state, drawing no random weights."""
    with torch.device("meta"):
        model = resnet18(num_classes=num_classes)
    model = model.to_empty(device=device)
    model.load_state_dict(state)
    return model
