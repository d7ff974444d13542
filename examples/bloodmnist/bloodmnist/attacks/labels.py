"""Label attacks: what a poisoned client takes its images for."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Relabel = Callable[[Tensor, int], Tensor]


def keep(labels: Tensor, _num_classes: int) -> Tensor:
    """Leave the labels alone."""
    return labels


def flip(labels: Tensor, num_classes: int) -> Tensor:
    r"""Take every class y for the next, :math:`(y + 1) \bmod C`."""
    return (labels + 1) % num_classes


LABELS: dict[str, Relabel] = {"clean": keep, "flipped": flip}


def find_relabel(name: str) -> Relabel:
    """Return what is done to labels under that name.

    Raises
    ------
    ValueError
        If there is no such thing; the message lists those there are.
    """
    if name not in LABELS:
        allowed = ", ".join(repr(known) for known in LABELS)
        raise ValueError(f"unknown labels {name!r}: use one of {allowed}")
    return LABELS[name]
