"""Trimmed mean: per coordinate, without the highest and lowest (Yin et al., 2018).

"Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018.
It drops M values at either end of every coordinate, not M whole clients.
"""

from __future__ import annotations

from torch import Tensor

from bloodmnist.baselines.deltas import by_blocks, sort_columns
from bloodmnist.baselines.errors import check_enough


def trimmed_mean(values: Tensor, num_malicious: int) -> Tensor:
    """Drop the M largest and the M smallest of each coordinate, average the others.

    Parameters
    ----------
    values : Tensor
        Shape ``[K, d]``.
    num_malicious : int
        M, below K / 2. With 0 it is the plain mean.

    Returns
    -------
    Tensor
        Float64, shape ``[d]``.

    Raises
    ------
    TooFewUpdatesError
        If there are fewer than :math:`2M + 1` clients.
    """
    check_enough("Trimmed mean", len(values), 2 * num_malicious + 1, num_malicious)
    return by_blocks(lambda block: mean_of_middle(block, num_malicious), values)


def mean_of_middle(block: Tensor, num_trimmed: int) -> Tensor:
    """Average what remains of each column, ``[K, b] -> [b]``, in float64."""
    middle = sort_columns(block)[num_trimmed : len(block) - num_trimmed]
    return middle.double().mean(dim=0)
