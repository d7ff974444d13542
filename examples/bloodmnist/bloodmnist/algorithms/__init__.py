"""Local training: six algorithms, each a file with its difference to FedAvg alone."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bloodmnist.algorithms import fedavg, feddyn, fedprox, fedrs, fedsam, fedspeed
from bloodmnist.loop import Batches, Memory, Settings

__all__ = ["ALGORITHMS", "Train", "find_algorithm"]

Train = Callable[[nn.Module, Batches, Settings, Memory], float]
"""Trains the model in place, updates the client's memory, returns the mean loss."""

ALGORITHMS: dict[str, Train] = {
    "fedavg": fedavg.train,
    "fedprox": fedprox.train,
    "feddyn": feddyn.train,
    "fedrs": fedrs.train,
    "fedsam": fedsam.train,
    "fedspeed": fedspeed.train,
}


def find_algorithm(name: str) -> Train:
    """Return the algorithm of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}: use one of {list(ALGORITHMS)}")
    return ALGORITHMS[name]
