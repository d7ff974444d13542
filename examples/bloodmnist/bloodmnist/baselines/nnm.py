"""Nearest neighbour mixing, then trimmed mean (Allouah et al., AISTATS 2023).

"Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity". Each update
is replaced by the mean of the K - M nearest to it, itself among them, which draws
honest clients with different data together before a rule looks at them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bloodmnist.baselines.deltas import Delta, Updates, by_blocks
from bloodmnist.baselines.distances import squared_distances
from bloodmnist.baselines.errors import check_enough
from bloodmnist.baselines.trimmed_mean import mean_of_middle


def nnm(updates: Updates, num_malicious: int) -> Delta:
    """Mix every client with its nearest neighbours, then take the trimmed mean.

    The neighbours are those by parameters; buffers are mixed with the same ones. With
    M = 0 it is the plain mean.

    Raises
    ------
    TooFewUpdatesError
        If there are fewer than :math:`2M + 1` clients.
    """
    check_enough("NNM", len(updates), 2 * num_malicious + 1, num_malicious)
    shares = neighbour_shares(updates.parameters, num_malicious)

    def mix_and_trim(block: Tensor) -> Tensor:
        return mean_of_middle(shares @ block.double(), num_malicious)

    return updates.by_coordinate(lambda values: by_blocks(mix_and_trim, values))


def neighbour_shares(deltas: Tensor, num_malicious: int) -> Tensor:
    """Give each client's K - M nearest, itself first, an equal share in its mixture.

    Parameters
    ----------
    deltas : Tensor
        Shape ``[K, d]``.
    num_malicious : int
        M.

    Returns
    -------
    Tensor
        Float64, shape ``[K, K]``; every row adds up to 1.
    """
    distances = squared_distances(deltas).fill_diagonal_(-1)
    num_neighbours = len(deltas) - num_malicious
    nearest = distances.argsort(dim=1, stable=True)[:, :num_neighbours]
    return torch.zeros_like(distances).scatter(1, nearest, 1 / num_neighbours)
