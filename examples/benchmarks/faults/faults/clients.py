"""Digits to honest updates: clients that really train a small model with batch norm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from faults.models import Build, build_model

Arrays = Mapping[str, NDArray[np.generic]]
"""A model's state by name."""

BATCH_SIZE = 32
LEARNING_RATE = 0.05
MOMENTUM = 0.1
"""PyTorch's, by which running statistics follow those of a batch."""

PRETRAINING_EPOCHS = 2


def arrays_of(model: nn.Module) -> dict[str, NDArray[np.generic]]:
    """Copy a model's state."""
    return {name: value.numpy().copy() for name, value in model.state_dict().items()}


def train(
    arrays: Arrays,
    rows: NDArray[np.integer[Any]],
    seed: int,
    build: Build = build_model,
) -> Arrays:
    """Train for one epoch on some of the digits and give the new state."""
    model = _loaded(arrays, build)
    images, labels = _digits()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    order = np.random.default_rng(seed).permutation(rows)
    for start in range(0, len(order), BATCH_SIZE):
        batch = torch.from_numpy(order[start : start + BATCH_SIZE])
        optimizer.zero_grad()
        cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
    return arrays_of(model)


@torch.no_grad()
def accuracy(arrays: Arrays, rows: NDArray[np.integer[Any]]) -> float:
    """Tell the share of some digits that a model gets right."""
    model = _loaded(arrays, build_model).eval()
    images, labels = _digits()
    found = model(images[rows]).argmax(dim=1)
    return (found == labels[rows]).double().mean().item()


def num_digits() -> int:
    """Count the digits there are."""
    return len(_digits()[1])


def _loaded(arrays: Arrays, build: Build) -> nn.Module:
    model = build(0)
    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()})
    return model


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 8 - 1
    return images, torch.from_numpy(digits.target)


class Hospitals:
    """Clients with a part of the digits each, who trained once from a common start.

    What their training changed is recorded and done again from any other model, as
    training from a model that an attack has ruined would say nothing.

    Parameters
    ----------
    num_clients : int
        How many.
    seed : int
        Decides the first weights, the parts and the order of training.
    build : callable
        Gives the model.
    """

    def __init__(self, num_clients: int, seed: int, build: Build = build_model) -> None:
        self.num_clients = num_clients
        self.seed = seed
        self.build = build

    @cached_property
    def start(self) -> Arrays:
        """The state that their training starts from, itself trained a little."""
        arrays: Arrays = arrays_of(self.build(self.seed))
        everything = np.arange(num_digits())
        for epoch in range(PRETRAINING_EPOCHS):
            arrays = train(arrays, everything, self.seed + epoch, self.build)
        return arrays

    def answer(self, client: int, arrays: Arrays) -> dict[str, NDArray[np.generic]]:
        """Move a global state as the client's training moved the first one."""
        trained = self._trained[client]
        return {
            name: self._moved(name, values.astype(trained[name].dtype), trained[name])
            for name, values in arrays.items()
        }

    @cached_property
    def _trained(self) -> list[Arrays]:
        rows = np.random.default_rng(self.seed).permutation(num_digits())
        parts = np.array_split(rows, self.num_clients)
        return [train(self.start, part, self.seed, self.build) for part in parts]

    def _moved(
        self, name: str, values: NDArray[Any], trained: NDArray[Any]
    ) -> NDArray[Any]:
        """Add what training added; running statistics also forget what they were."""
        num_steps = num_digits() // self.num_clients // BATCH_SIZE + 1
        left = (1 - MOMENTUM) ** num_steps if "running" in name else 1
        moved = left * values + (trained - left * self.start[name])
        return np.asarray(moved, trained.dtype)
