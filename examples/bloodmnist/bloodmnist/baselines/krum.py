r"""Krum and Multi-Krum: the updates with the closest neighbours (Blanchard et al.).

"Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS
2017. The score of client :math:`i` is the sum of squared distances to its
:math:`K - M - 2` nearest other clients; the lower, the better.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bloodmnist.baselines.distances import squared_distances
from bloodmnist.baselines.errors import check_enough


def krum(deltas: Tensor, num_malicious: int) -> Tensor:
    """Give all weight to the client with the lowest score.

    Parameters
    ----------
    deltas : Tensor
        Shape ``[K, d]``.
    num_malicious : int
        M, at most :math:`(K - 3) / 2`.

    Returns
    -------
    Tensor
        Float64, shape ``[K]``: 1 for the chosen client, else 0.

    Raises
    ------
    TooFewUpdatesError
        If there are fewer than :math:`2M + 3` clients.
    """
    return _share_equally(krum_scores(deltas, num_malicious), num_chosen=1)


def multi_krum(deltas: Tensor, num_malicious: int) -> Tensor:
    """Share the weight equally among the K - M clients with the lowest scores.

    The paper leaves open how many to choose. K - M is as many as there are honest
    ones; with M = 0 it is the plain mean.

    Parameters and errors are those of `krum`.
    """
    scores = krum_scores(deltas, num_malicious)
    return _share_equally(scores, num_chosen=len(scores) - num_malicious)


def krum_scores(deltas: Tensor, num_malicious: int) -> Tensor:
    """Sum each client's squared distances to its K - M - 2 nearest others.

    Returns
    -------
    Tensor
        Float64, shape ``[K]``.

    Raises
    ------
    TooFewUpdatesError
        If there are fewer than :math:`2M + 3` clients.
    """
    num_clients = len(deltas)
    check_enough("Krum", num_clients, 2 * num_malicious + 3, num_malicious)
    distances = squared_distances(deltas).fill_diagonal_(torch.inf)
    nearest = distances.sort(dim=1).values[:, : num_clients - num_malicious - 2]
    return nearest.sum(dim=1)


def _share_equally(scores: Tensor, num_chosen: int) -> Tensor:
    chosen = scores.argsort(stable=True)[:num_chosen]
    return torch.zeros_like(scores).index_fill(0, chosen, 1 / num_chosen)
