r"""Min-Max and Min-Sum: as far from the honest mean as the honest spread allows.

Shejwalkar and Houmansadr, "Manipulating the Byzantine", NDSS 2021. Both send
:math:`w_g + \bar\Delta + \gamma p` with the perturbation
:math:`p = -s`, the deviation per coordinate reversed (one of the paper's three), and
the largest :math:`\gamma` that keeps a distance within that of the honest clients. The
paper searches for it by halving; as both bounds are quadratic in :math:`\gamma`, it is
computed here.

The attackers know the honest updates :math:`\Delta_i` because they repeat the honest
clients' deterministic training. Buffers are sent as trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bloodmnist.attacks.view import AttackerView, deviation
from bloodmnist.model import State


@dataclass(frozen=True)
class Spread:
    r"""Squared distances of the n honest updates, and how they lie along p.

    Parameters
    ----------
    between : Tensor of shape (n, n)
        :math:`\lVert \Delta_i - \Delta_j \rVert^2`.
    to_mean : Tensor of shape (n,)
        :math:`\lVert \bar\Delta - \Delta_i \rVert^2`.
    along : Tensor of shape (n,)
        :math:`\langle p, \bar\Delta - \Delta_i \rangle`.
    length : Tensor of shape ()
        :math:`\lVert p \rVert^2`.
    """

    between: Tensor
    to_mean: Tensor
    along: Tensor
    length: Tensor


def min_max(view: AttackerView) -> State:
    r"""Stay within the largest distance between two honest updates.

    :math:`\max_i \lVert \bar\Delta + \gamma p - \Delta_i \rVert
    \le \max_{i,j} \lVert \Delta_i - \Delta_j \rVert`.
    """
    return push(view, largest_step_by_maximum(measure(view)))


def min_sum(view: AttackerView) -> State:
    r"""Stay within the largest sum of squared distances of an honest update.

    :math:`\sum_i \lVert \bar\Delta + \gamma p - \Delta_i \rVert^2
    \le \max_i \sum_j \lVert \Delta_i - \Delta_j \rVert^2`.
    """
    return push(view, largest_step_by_sum(measure(view)))


def push(view: AttackerView, step: float) -> State:
    r"""Send :math:`w_g + \bar\Delta + \gamma p`; the mean at a step of 0."""
    return view.send(
        {
            name: view.received[name] + updates.mean(0) - step * deviation(updates)
            for name, updates in view.honest_updates()
        }
    )


def measure(view: AttackerView) -> Spread:
    """Measure the honest updates, one parameter after the other."""
    parts = [_measure(updates) for _, updates in view.honest_updates()]
    return Spread(*(torch.stack(part).sum(0) for part in zip(*parts, strict=True)))


def largest_step_by_maximum(spread: Spread) -> float:
    r"""Solve :math:`\lVert p \rVert^2 \gamma^2 + 2 b_i \gamma + c_i = D^2` for all i.

    :math:`b_i` and :math:`c_i` are ``along`` and ``to_mean``, :math:`D^2` is the
    largest of ``between``; the smallest of the positive roots counts.
    """
    if spread.length == 0:
        return 0.0
    room = (spread.between.max() - spread.to_mean).clamp(min=0)
    roots = (spread.along.square() + spread.length * room).sqrt() - spread.along
    return float((roots / spread.length).min())


def largest_step_by_sum(spread: Spread) -> float:
    r"""Solve :math:`n \lVert p \rVert^2 \gamma^2 + \sum_i c_i = S`.

    S is the largest row sum of ``between``. The linear term is gone, as differences to
    a mean add up to nothing.
    """
    if spread.length == 0:
        return 0.0
    room = (spread.between.sum(1).max() - spread.to_mean.sum()).clamp(min=0)
    return float((room / (len(spread.to_mean) * spread.length)).sqrt())


def _measure(updates: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Take everything from the products of the centred updates and p.

    Centred in double precision they are as long as the distances that are wanted, so
    the differences of their products keep their digits.
    """
    flat = updates.flatten(1)
    rows = torch.cat([flat - flat.mean(0), -deviation(flat)[None]])
    products = rows @ rows.T
    to_mean = products.diagonal()[:-1]
    between = to_mean[:, None] + to_mean - 2 * products[:-1, :-1]
    return between.clamp(min=0), to_mean, -products[:-1, -1], products[-1, -1]
