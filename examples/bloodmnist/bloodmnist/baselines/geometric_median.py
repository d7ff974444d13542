r"""Geometric median: the point nearest to all updates together (Pillutla et al.).

"Robust Aggregation for Federated Learning", IEEE Transactions on Signal Processing
2022: the :math:`z` that minimises :math:`\sum_i \lVert x_i - z \rVert`, found by the
smoothed Weiszfeld algorithm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bloodmnist.baselines.distances import squared_distances

SMOOTHING = 1e-6
TOLERANCE = 1e-12
MAX_STEPS = 1000


def geometric_median(deltas: Tensor, _num_malicious: int = 0) -> Tensor:
    r"""Weigh the clients so that their mean is the geometric median.

    Every Weiszfeld step gives :math:`z = \sum_i a_i x_i` with weights that add up to
    1, so it needs no more than the distances between clients:

    .. math::

        \lVert x_i - z \rVert^2
        = \sum_j a_j D_{ij} - \tfrac{1}{2} \sum_{j,k} a_j a_k D_{jk},
        \qquad a_i \propto \frac{1}{\max(\nu, \lVert x_i - z \rVert)}.

    The smoothing :math:`\nu` is a millionth of the median distance between clients: a
    fixed one above the length of the deltas would turn the result into the mean. The
    number of malicious clients plays no part.

    Parameters
    ----------
    deltas : Tensor
        Shape ``[K, d]``.

    Returns
    -------
    Tensor
        Float64, shape ``[K]``; positive, and 1 in sum.
    """
    distances = squared_distances(deltas)
    weights = torch.full((len(deltas),), 1 / len(deltas), dtype=torch.float64)
    for _ in range(MAX_STEPS):
        before, weights = weights, _weiszfeld_step(distances, weights)
        if (weights - before).abs().max() < TOLERANCE:
            break
    return weights


def _weiszfeld_step(distances: Tensor, weights: Tensor) -> Tensor:
    to_centre = distances @ weights - weights @ distances @ weights / 2
    floor = SMOOTHING**2 * distances.median() + torch.finfo(torch.float64).tiny
    inverse = to_centre.clamp(min=floor).rsqrt()
    return inverse / inverse.sum()
