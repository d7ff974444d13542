"""The models of Flower's example apps, rebuilt."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from compatibility.catalogue.language import (
    adapted,
    distilbert,
    llama,
    tokens_and_mask,
    tokens_without_cache,
)
from compatibility.catalogue.medical import monai_network
from compatibility.entry import Entry
from compatibility.exchange import PARAMETERS, adapters

KIND = "Flower's example apps"


def entries() -> list[Entry]:
    """List apps by the name that they have in Flower's repository."""
    entry = partial(Entry, KIND)
    return [
        entry("quickstart-pytorch", "torch", SmallCNN, _of(3, 32, 32)),
        entry("advanced-pytorch", "torch", partial(SmallCNN, 1, 256), _of(1, 28, 28)),
        entry("quickstart-pytorch-lightning", "torch", autoencoder, _of(784)),
        entry(
            "quickstart-monai",
            "monai",
            partial(
                monai_network,
                "DenseNet121",
                spatial_dims=2,
                in_channels=1,
                out_channels=6,
            ),
            _of(1, 64, 64),
        ),
        entry(
            "quickstart-huggingface",
            "transformers",
            distilbert,
            {"virtual_samples": tokens_and_mask},
        ),
        entry(
            "flowertune-llm",
            "peft",
            partial(adapted, "CAUSAL_LM", llama, use_dora=False),
            {"virtual_samples": tokens_without_cache},
            adapters(),
        ),
        entry("fl-tabular", "torch", tabular, _of(14)),
        entry(
            "quickstart-sklearn, as a linear layer",
            "torch",
            partial(nn.Linear, 784, 10),
            _of(784),
            PARAMETERS,
        ),
    ]


def _of(*shape: int) -> dict[str, Any]:
    return {"input_shape": shape}


class SmallCNN(nn.Module):
    """Two convolutions and three linear layers, as in PyTorch's own tutorial."""

    def __init__(self, num_channels: int = 3, width: int = 400) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_channels, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(width, 120)
        self.fc2, self.fc3 = nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Classify images."""
        maps = self.pool(self.conv1(images).relu())
        maps = self.pool(self.conv2(maps).relu())
        hidden = self.fc1(maps.flatten(1)).relu()
        return self.fc3(self.fc2(hidden).relu())


def autoencoder() -> nn.Module:
    """Build the autoencoder of PyTorch Lightning's tutorial."""
    return nn.Sequential(
        nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 3)),
        nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 784)),
    )


def tabular() -> nn.Module:
    """Build the perceptron for the census."""
    return nn.Sequential(
        nn.Linear(14, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 1),
        nn.Sigmoid(),
    )
