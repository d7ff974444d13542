"""Coordinate-wise median (Yin et al., ICML 2018)."""

from __future__ import annotations

from torch import Tensor

from bloodmnist.baselines.trimmed_mean import trimmed_mean


def median(values: Tensor, _num_malicious: int = 0) -> Tensor:
    """Take the middle value of each coordinate, or the mean of the two middle ones.

    It is the trimmed mean that trims as much as can be. The number of malicious
    clients plays no part, which is why M = 0 is not the mean.

    Parameters
    ----------
    values : Tensor
        Shape ``[K, d]``.

    Returns
    -------
    Tensor
        Float64, shape ``[d]``.
    """
    return trimmed_mean(values, (len(values) - 1) // 2)
