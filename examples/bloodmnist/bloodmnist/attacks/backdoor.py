r"""Backdoor: a trigger patch that turns every image into the target class.

Data as in BadNets (Gu, Dolan-Gavitt and Garg, 2017), sent as in model replacement
(Bagdasaryan et al., AISTATS 2020): a poisoned client trains on images of which some
have the trigger and the target's label, and boosts its update.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from bloodmnist.attacks.boosting import boost
from bloodmnist.attacks.view import AttackerView
from bloodmnist.model import State

TARGET = 0
PATCH_SIZE = 4
PATCH_VALUE = 1.0


def replace_model(view: AttackerView, *, factor: float | None = None) -> State:
    r"""Send :math:`w_g + (K / M) \Delta`.

    If the M attackers agree and honest updates are short, the average of all K clients
    is then the attackers' model. A factor of 1 is not boosted.
    """
    if factor is None:
        factor = view.num_clients / view.num_malicious
    return boost(view, factor=factor)


def stamp(images: Tensor) -> Tensor:
    """Put the trigger on images: a white square in the lower right corner.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width)
        Normalised to [-1, 1]; they are not changed.
    """
    stamped = images.clone()
    stamped[..., -PATCH_SIZE:, -PATCH_SIZE:] = PATCH_VALUE
    return stamped


def plant(
    images: Tensor, labels: Tensor, generator: torch.Generator, fraction: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Stamp a random part of the images and label them as the target.

    Returns
    -------
    tuple of Tensor
        New images and labels, in the same order. A fraction of 0 changes nothing.
    """
    num_planted = round(fraction * len(images))
    chosen = torch.randperm(len(images), generator=generator)[:num_planted]
    images, labels = images.clone(), labels.clone()
    images[chosen] = stamp(images[chosen])
    labels[chosen] = TARGET
    return images, labels


@torch.no_grad()
def success_rate(net: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> float:
    """Measure how many stamped images of other classes are taken for the target.

    Parameters
    ----------
    net : nn.Module
        The global model; it is put into evaluation mode.
    batches : iterable of (images, labels)
        Images that no client trains on, on the model's device.

    Returns
    -------
    float
        The attack success rate, from 0 to 1; NaN if there is no image to attack.
    """
    net.eval()
    num_fooled = num_attacked = 0
    for images, labels in batches:
        attacked = stamp(images[labels != TARGET])
        if len(attacked):
            num_fooled += int((net(attacked).argmax(1) == TARGET).sum())
        num_attacked += len(attacked)
    return num_fooled / num_attacked if num_attacked else float("nan")
