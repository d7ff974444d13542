"""The kinds of models that hospitals train, small enough for many runs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet18


def cnn(num_classes: int, normalisation: str) -> nn.Module:
    """Build two convolutions for images of 8 x 8, with batch or group normalisation."""

    def block(num_inputs: int, num_outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(num_inputs, num_outputs, 3, padding=1),
            nn.BatchNorm2d(num_outputs)
            if normalisation == "batch"
            else nn.GroupNorm(num_outputs // 8, num_outputs),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]

    head = [nn.Flatten(), nn.Linear(128, num_classes)]
    return nn.Sequential(*block(1, 16), *block(16, 32), *head)


def linear(num_inputs: int, num_outputs: int) -> nn.Module:
    """Build a logistic or linear regression."""
    return nn.Sequential(nn.Linear(num_inputs, num_outputs))


def mlp(num_inputs: int, num_outputs: int) -> nn.Module:
    """Build one hidden layer of 16."""
    return nn.Sequential(
        nn.Linear(num_inputs, 16), nn.ReLU(), nn.Linear(16, num_outputs)
    )


class Transformer(nn.Module):
    """One layer of attention over token ids."""

    def __init__(self, num_tokens: int, length: int, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, 24)
        self.position = nn.Parameter(0.1 * torch.randn(length, 24))
        self.layer = nn.TransformerEncoderLayer(24, 4, 48, 0.0, batch_first=True)
        self.head = nn.Linear(24, num_classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Answer from the mean over the tokens."""
        embedded = self.embedding(tokens) + self.position
        answer: Tensor = self.head(self.layer(embedded).mean(1))
        return answer


class Recurrent(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, 32, batch_first=True)
        self.head = nn.Linear(32, num_classes)

    def forward(self, rows: Tensor) -> Tensor:
        """Answer from the last row."""
        answer: Tensor = self.head(self.lstm(rows)[0][:, -1])
        return answer


def resnet(num_classes: int) -> nn.Module:
    """Build torchvision's ResNet-18."""
    model: nn.Module = resnet18(num_classes=num_classes)
    return model
