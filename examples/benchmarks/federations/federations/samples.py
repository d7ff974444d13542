"""Inputs and labels, and how they are divided among hospitals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torchvision.transforms import functional as change


@dataclass(frozen=True)
class Samples:
    """Some inputs with their labels.

    Attributes
    ----------
    inputs : Tensor
        ``(n, *input_shape)``.
    labels : Tensor
        ``(n,)``: classes, or the values of a regression.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Count them."""
        return len(self.labels)

    def __getitem__(self, rows: Tensor | np.ndarray | slice) -> Samples:
        """Choose some of them."""
        return Samples(self.inputs[rows], self.labels[rows])

    def to(self, device: str) -> Samples:
        """Move them to a device."""
        return Samples(self.inputs.to(device), self.labels.to(device))


def split_off(samples: Samples, size: int, rng: Generator) -> tuple[Samples, Samples]:
    """Set some samples aside at random: the rest, and those."""
    order = torch.from_numpy(rng.permutation(len(samples)))
    return samples[order[size:]], samples[order[:size]]


def divide(
    samples: Samples, sizes: Sequence[int], alpha: float, rng: Generator
) -> tuple[Samples, ...]:
    """Give each hospital its number of samples, with its own shares of the classes.

    Shares are drawn from a Dirichlet distribution. Where a class is used up the other
    classes take its place.

    Parameters
    ----------
    sizes
        How many samples each hospital gets; in all at most those there are.
    alpha
        Concentration; 10 and more are almost alike.
    """
    num_classes = int(samples.labels.max()) + 1
    labels = samples.labels.numpy()
    left = [rng.permutation(np.flatnonzero(labels == c)) for c in range(num_classes)]
    parts = []
    for size in sizes:
        shares = rng.dirichlet([alpha] * num_classes)
        rows: list[int] = []
        while len(rows) < size:
            open_shares = shares * [len(some) > 0 for some in left] + 1e-9
            open_shares *= [len(some) > 0 for some in left]
            label = rng.choice(num_classes, p=open_shares / open_shares.sum())
            rows.append(int(left[label][0]))
            left[label] = left[label][1:]
        parts.append(samples[np.array(rows)])
    return tuple(parts)


def divide_by_class(samples: Samples) -> tuple[Samples, ...]:
    """Give each hospital one class."""
    classes = range(int(samples.labels.max()) + 1)
    return tuple(samples[samples.labels == label] for label in classes)


def deal_shards(
    samples: Samples, num_hospitals: int, num_shards: int, rng: Generator
) -> tuple[Samples, ...]:
    """Sort by label, cut into equal shards, and deal each hospital some of them.

    So each holds few classes, as in McMahan et al., 2017.
    """
    order = np.argsort(samples.labels.numpy(), kind="stable")
    shards = np.array_split(order, num_hospitals * num_shards)
    dealt = rng.permutation(len(shards)).reshape(num_hospitals, num_shards)
    return tuple(samples[np.concatenate([shards[n] for n in row])] for row in dealt)


def scaled(sizes: Sequence[int], total: int) -> tuple[int, ...]:
    """Keep the ratios of some sizes, but for those that would be below three."""
    return tuple(max(3, int(size * total / sum(sizes))) for size in sizes)


def scan(samples: Samples, rng: Generator) -> Samples:
    """Show images as a hospital's own scanner does.

    Brightness, contrast, saturation and blur are the hospital's.
    """
    brightness, contrast, saturation = rng.uniform(0.6, 1.4, size=3)
    images = (samples.inputs + 1) / 2
    images = change.adjust_brightness(images, brightness)
    images = change.adjust_contrast(images, contrast)
    images = change.adjust_saturation(images, saturation)
    blurred = change.gaussian_blur(images, [5, 5], [float(rng.uniform(0.1, 1.0))] * 2)
    return Samples(blurred * 2 - 1, samples.labels)
