r"""Centered clipping: nobody moves the last aggregate far (Karimireddy et al., 2021).

"Learning from History for Byzantine Robust Optimization", ICML 2021: from the last
round's aggregate :math:`v`,

.. math::

    v \leftarrow v + \frac{1}{K} \sum_i (x_i - v)
    \min\left(1, \frac{\tau}{\lVert x_i - v \rVert}\right).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bloodmnist.baselines.deltas import Delta, Updates, combine


@dataclass
class CenteredClipping:
    r"""A rule that starts from what it gave the last time.

    Parameters
    ----------
    radius : float, optional
        :math:`\tau`, which bounds how far a client can move the centre, by
        :math:`\tau / K`. The paper's values fit its gradients; at the length of real
        deltas, 0.02 to 3, a radius of 10 clips no honest client. Without one it is the
        median of :math:`\lVert x_i - v \rVert`, our choice: it fits any length, and
        fewer than half of the clients cannot raise it above the honest ones'.
    num_steps : int
        How many steps a round; the paper shows that one will do.
    centre : Tensor, optional
        :math:`v`, float64, shape ``[P]``; zeros if not given.
    """

    radius: float | None = None
    num_steps: int = 1
    centre: Tensor | None = None

    def __call__(self, updates: Updates, _num_malicious: int = 0) -> Delta:
        """Move the centre; weigh the buffers by how little each client was clipped.

        Buffers have no centre: a running variance must stay between those that were
        sent, or it could turn negative. The number of malicious clients plays no part.
        """
        deltas = updates.parameters
        if self.centre is None:
            self.centre = torch.zeros(deltas.shape[1], dtype=torch.float64)
        for _ in range(self.num_steps):
            factors = clip_factors(deltas, self.centre, self.radius)
            self.centre = move_centre(deltas, self.centre, factors)
        buffers = combine(updates.buffers, factors / factors.sum())
        return Delta(self.centre, buffers)


def clip_factors(deltas: Tensor, centre: Tensor, radius: float | None) -> Tensor:
    r"""Give :math:`\min(1, \tau / \lVert x_i - v \rVert)`, float64, shape ``[K]``."""
    lengths = torch.stack([(delta - centre).norm() for delta in deltas])
    tau = lengths.median() if radius is None else torch.tensor(radius).double()
    return torch.where(lengths > tau, tau / lengths, 1.0)


def move_centre(deltas: Tensor, centre: Tensor, factors: Tensor) -> Tensor:
    r"""Give :math:`v + \frac{1}{K} \sum_i c_i (x_i - v)`, float64, shape ``[d]``."""
    shares = factors / len(deltas)
    return combine(deltas, shares) + (1 - shares.sum()) * centre
