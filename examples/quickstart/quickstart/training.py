"""Model and images to a trained model, and to loss and accuracy."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

Loader = DataLoader[tuple[Tensor, ...]]


def train(net: nn.Module, batches: Loader, epochs: int, learning_rate: float) -> float:
    """Train in place by SGD and return the mean loss over all steps."""
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate)
    losses = []
    for _ in range(epochs):
        for images, labels in batches:
            optimizer.zero_grad()
            loss = cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return sum(losses) / len(losses)


@torch.no_grad()
def test(net: nn.Module, batches: Loader) -> tuple[float, float]:
    """Return the mean loss and the accuracy, both over images."""
    net.eval()
    loss, correct, num_images = 0.0, 0, 0
    for images, labels in batches:
        logits = net(images)
        loss += cross_entropy(logits, labels, reduction="sum").item()
        correct += int((logits.argmax(dim=1) == labels).sum())
        num_images += len(labels)
    return loss / num_images, correct / num_images
