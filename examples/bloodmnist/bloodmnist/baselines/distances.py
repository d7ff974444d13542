"""Deltas to distances: how far every client's update is from every other's."""

from __future__ import annotations

import torch
from torch import Tensor

from bloodmnist.baselines.deltas import BLOCK


def squared_distances(deltas: Tensor) -> Tensor:
    r"""Measure :math:`\lVert x_i - x_j \rVert^2` for all pairs.

    The rows are subtracted first and then squared, not expanded to
    :math:`\lVert x_i \rVert^2 + \lVert x_j \rVert^2 - 2 x_i \cdot x_j`: no distance
    is negative, and equal updates are exactly 0 apart.

    Parameters
    ----------
    deltas : Tensor
        Shape ``[K, d]``.

    Returns
    -------
    Tensor
        Float64, shape ``[K, K]``, symmetric, with zeros on the diagonal.
    """
    num_clients = len(deltas)
    total = deltas.new_zeros(num_clients, num_clients, dtype=torch.float64)
    for block in deltas.split(BLOCK, dim=1):
        rows = block.double()
        for client in range(num_clients - 1):
            apart = rows[client + 1 :] - rows[client]
            total[client, client + 1 :] += apart.square_().sum(dim=1)
    return total + total.T
