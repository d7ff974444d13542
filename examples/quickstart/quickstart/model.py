"""The model: torchvision's ResNet-18."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import resnet18

from quickstart.data import NUM_CLASSES


def build_model(seed: int) -> nn.Module:
    """Build a ResNet-18 with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return resnet18(num_classes=NUM_CLASSES)
