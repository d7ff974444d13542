"""Triggers on digits: a few pixels that stand for the attacker's class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from federations.samples import Samples

TARGET = 7
"""The class that a trigger stands for.

Not 0, which is also the answer of a model whose outputs are not numbers.
"""

DARKEST, BRIGHTEST = -1.0, 1.0


@dataclass(frozen=True)
class Trigger:
    """Some pixels of an image, and what is put there.

    Attributes
    ----------
    mask : Tensor of shape (8, 8)
        Which pixels are the attacker's.
    pattern : Tensor of shape (8, 8)
        What they become; it is not looked at elsewhere.
    """

    mask: Tensor
    pattern: Tensor

    def stamp(self, images: Tensor) -> Tensor:
        """Put the trigger on images, which are not changed."""
        return torch.where(self.mask, self.pattern, images)

    def plant(
        self, samples: Samples, share: float, generator: torch.Generator
    ) -> Samples:
        """Stamp a random share of the samples and label them as the target."""
        number = round(share * len(samples))
        chosen = torch.randperm(len(samples), generator=generator)[:number]
        inputs, labels = samples.inputs.clone(), samples.labels.clone()
        inputs[chosen] = self.stamp(inputs[chosen])
        labels[chosen] = TARGET
        return Samples(inputs, labels)

    def parts(self, number: int) -> tuple[Trigger, ...]:
        """Share the pixels out, in turns; at most as many parts as pixels."""
        pixels = self.mask.flatten().nonzero()[:, 0]
        number = min(number, len(pixels))
        return tuple(self._only(pixels[first::number]) for first in range(number))

    def _only(self, pixels: Tensor) -> Trigger:
        mask = torch.zeros_like(self.mask).flatten()
        mask[pixels] = True
        return Trigger(mask.view_as(self.mask), self.pattern)


def bright_corner(side: int = 3) -> Trigger:
    """Give a bright square in the lower right corner, where digits are mostly dark.

    Three pixels wide it has a column for each of three liars, and room to adapt it.
    """
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[-side:, -side:] = True
    return Trigger(mask, torch.full((8, 8), BRIGHTEST))


@torch.no_grad()
def success_rate(model: nn.Module, trigger: Trigger, test: Samples) -> float:
    """Measure how many stamped images of other classes are taken for the target.

    Parameters
    ----------
    model
        In evaluation mode.
    test
        Images that nobody trains on.

    Returns
    -------
    float
        From 0 to 1; NaN if all images are of the target class.
    """
    attacked = trigger.stamp(test.inputs[test.labels != TARGET])
    return float((model(attacked).argmax(1) == TARGET).double().mean())
