r"""ERR, LFR and Union: reject who makes the model worse (Fang et al., 2020).

"Local Model Poisoning Attacks to Byzantine-Robust Federated Learning", USENIX
Security 2020, section 5. With an aggregation rule, here the trimmed mean, let
:math:`E_A` be the validation error of the aggregate of all clients and :math:`E_{B_i}`
that of the aggregate without client :math:`i`. The impact of the client is
:math:`E_A - E_{B_i}`; the M clients of the largest impact are rejected and the others
aggregated. LFR takes the loss instead of the error. Union rejects whom either rejects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, float64

from bloodmnist.baselines.deltas import Delta, State, Updates, by_blocks, sort_columns
from bloodmnist.baselines.errors import check_enough
from bloodmnist.baselines.trimmed_mean import mean_of_middle

Validate = Callable[[State], tuple[float, float]]
"""Gives the loss and the error of a model on the server's validation images."""

LOSS, ERROR = 0, 1  # places in what it gives


def fang(
    updates: Updates,
    num_malicious: int,
    *,
    measures: Sequence[int],
    validate: Validate,
    generator: torch.Generator,
) -> Delta:
    r"""Reject the M clients of the largest impact; take the others' trimmed mean.

    Since :math:`E_A` is the same for all, the largest impact is the smallest
    :math:`E_{B_i}`, and K models are validated instead of K + 1. The rejection is the
    one baseline decision in which buffers matter: a model is validated with them. With
    M = 0 nobody is rejected, nothing validated, and the result is the plain mean.

    Parameters
    ----------
    updates : Updates
        The clients' deltas.
    num_malicious : int
        M, at most :math:`K / 2 - 1`. The final trimmed mean drops M values at either
        end, or fewer if not even one would remain: then it is the median.
    measures : Sequence of int
        ``LOSS``, ``ERROR`` or both.
    validate : Validate
        Gives loss and error.
    generator : torch.Generator
        Breaks ties, which errors on a small validation set often are. By order they
        would go against the first clients, and those are the poisoned ones here.

    Raises
    ------
    TooFewUpdatesError
        If there are fewer than :math:`2M + 2` clients.
    """
    num_clients = len(updates)
    check_enough("Fang", num_clients, 2 * num_malicious + 2, num_malicious)
    rejected: set[int] = set()
    if num_malicious > 0:
        results = [
            validate(state) for state in states_without_one(updates, num_malicious)
        ]
        for measure in measures:
            values = torch.tensor([each[measure] for each in results], dtype=float64)
            rejected |= smallest(values, num_malicious, generator)

    kept = [client for client in range(num_clients) if client not in rejected]
    num_trimmed = min(num_malicious, (len(kept) - 1) // 2)
    return updates.by_coordinate(
        lambda values: by_blocks(
            lambda block: mean_of_middle(block[kept], num_trimmed), values
        )
    )


def states_without_one(updates: Updates, num_malicious: int) -> Iterator[State]:
    """Give the trimmed mean of all clients but the first, but the second, ..."""
    parameters = means_without_one(updates.parameters, num_malicious)
    buffers = means_without_one(updates.buffers, num_malicious)
    for pair in zip(parameters, buffers, strict=True):
        yield updates.apply(Delta(*pair))


def means_without_one(values: Tensor, num_malicious: int) -> Iterator[Tensor]:
    r"""Give the trimmed mean of all rows but the first, but the second, ...

    One sort serves them all. With a column sorted as
    :math:`s_0 \le \dots \le s_{K-1}`, leaving out :math:`x_i` and then the M highest
    and lowest leaves a sum of

    .. math::

        \sum_{j=M}^{K-1-M} s_j - \min(\max(x_i, s_M), s_{K-1-M}).

    Parameters
    ----------
    values : Tensor
        Shape ``[K, d]``, with K at least :math:`2M + 2`.
    num_malicious : int
        M.

    Yields
    ------
    Tensor
        Shape ``[d]``, K times.
    """
    num_rows = len(values)

    def ends_and_sum(block: Tensor) -> Tensor:
        ordered = sort_columns(block)
        middle = ordered[num_malicious : num_rows - num_malicious]
        return torch.stack([middle[0], middle[-1], middle.sum(dim=0)])

    lowest, highest, total = by_blocks(ends_and_sum, values)
    for row in values:
        left_out = row.clamp(lowest, highest)
        yield (total - left_out) / (num_rows - 1 - 2 * num_malicious)


def smallest(values: Tensor, count: int, generator: torch.Generator) -> set[int]:
    """Give the places of the smallest values; NaN is the largest, ties go by lot."""
    lot = torch.randperm(len(values), generator=generator)
    order = values.nan_to_num(nan=torch.inf)[lot].argsort(stable=True)
    return set(lot[order[:count]].tolist())
