r"""Divide and conquer, DnC: outliers along the main direction (Shejwalkar, Houmansadr).

"Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
Federated Learning", NDSS 2021, Algorithm 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bloodmnist.baselines.errors import check_enough


def dnc(
    deltas: Tensor,
    num_malicious: int,
    *,
    generator: torch.Generator,
    num_coordinates: int = 10_000,
    num_iterations: int = 5,
    filter_fraction: float = 1.0,
) -> Tensor:
    r"""Share the weight equally among those that no iteration rejects.

    An iteration takes some coordinates at random, centres the updates and finds their
    top right singular vector :math:`v`; the outlier score of client :math:`i` is
    :math:`((x_i - \mu) \cdot v)^2`, and the :math:`c M` highest are rejected. One
    direction can miss attackers who each go their own way, so there are several.

    Parameters
    ----------
    deltas : Tensor
        Shape ``[K, d]``.
    num_malicious : int
        M. With 0 nobody is rejected and it is the plain mean.
    generator : torch.Generator
        Draws the coordinates.
    num_coordinates : int
        b, how many coordinates an iteration looks at; all if there are fewer.
    num_iterations : int
        How often to draw. All iterations together can reject more than :math:`c M`;
        should they reject everybody, which the paper leaves open, those rejected the
        fewest times remain.
    filter_fraction : float
        c, how many clients to reject per malicious one.

    Returns
    -------
    Tensor
        Float64, shape ``[K]``.

    Raises
    ------
    TooFewUpdatesError
        If there are fewer than :math:`2M + 1` clients.
    """
    check_enough("DnC", len(deltas), 2 * num_malicious + 1, num_malicious)
    num_rejected = min(round(filter_fraction * num_malicious), len(deltas) - 1)

    rejections = deltas.new_zeros(len(deltas), dtype=torch.int64)
    for _ in range(num_iterations):
        order = torch.randperm(deltas.shape[1], generator=generator)
        scores = outlier_scores(deltas[:, order[:num_coordinates]])
        rejections[scores.argsort(descending=True, stable=True)[:num_rejected]] += 1
    good = rejections == rejections.min()
    return good.double() / good.sum()


def outlier_scores(deltas: Tensor) -> Tensor:
    """Square the projections on the direction of the largest variance.

    Returns
    -------
    Tensor
        Float64, shape ``[K]``.
    """
    values = deltas.double()
    centred = values - values.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return (centred @ directions[0]).square()
