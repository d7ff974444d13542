"""Digits to clients: who holds which of scikit-learn's handwritten digits."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, TensorDataset

INPUT_SHAPE = (3, 28, 28)
NUM_CLASSES = 10
TEST_FRACTION = 0.2

Loader = DataLoader[tuple[Tensor, ...]]


def make_generator(*numbers: int) -> torch.Generator:
    """Make a random generator that depends on the given numbers alone."""
    state = np.random.SeedSequence(numbers).generate_state(1)
    return torch.Generator().manual_seed(int(state[0]))


def load_partition(
    partition_id: int,
    num_partitions: int,
    batch_size: int,
    seed: int,
    order: torch.Generator,
) -> Loader:
    """Load the training images of one client.

    Parameters
    ----------
    partition_id : int
        Which client, from 0 to ``num_partitions - 1``.
    num_partitions : int
        How many clients share the training images, in equal random parts.
    batch_size : int
        Images a step. An incomplete last batch is left out where there are others,
        because batch norm cannot normalise a single image.
    seed : int
        Decides which images go to which client.
    order : torch.Generator
        Decides the order of the images, anew in every epoch.
    """
    training, _ = _split(seed)
    images = _images(training[partition_id::num_partitions])
    return DataLoader(
        images,
        batch_size=batch_size,
        shuffle=True,
        drop_last=len(images) > batch_size,
        generator=order,
    )


def load_test(batch_size: int, seed: int) -> Loader:
    """Load the held-out images that no client trains on."""
    _, held_out = _split(seed)
    return DataLoader(_images(held_out), batch_size=batch_size)


def _split(seed: int) -> tuple[Tensor, Tensor]:
    """Return the shuffled row numbers of the training and the held-out images."""
    num_images = len(load_digits().target)
    order = torch.randperm(num_images, generator=make_generator(seed))
    num_test = round(TEST_FRACTION * num_images)
    return order[num_test:], order[:num_test]


def _images(rows: Tensor) -> TensorDataset:
    """Enlarge the given digits to the input shape, with values in [-1, 1]."""
    digits = load_digits()
    pixels = torch.from_numpy(digits.images)[rows].float() / 8 - 1
    small = pixels[:, None].expand(-1, INPUT_SHAPE[0], -1, -1)
    images = interpolate(small, size=INPUT_SHAPE[1:], mode="bilinear")
    return TensorDataset(images, torch.from_numpy(digits.target)[rows])
