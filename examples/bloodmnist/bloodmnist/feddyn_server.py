r"""FedDyn's server half (Acar et al., ICLR 2021), as a strategy to wrap like any other.

With m clients in all, of which the set P was aggregated in this round,

.. math::
    h &\leftarrow h - \frac{\alpha}{m} \sum_{k \in P} (w_k - w_g), \\
    w &\leftarrow \frac{1}{|P|} \sum_{k \in P} w_k - h / \alpha,

for parameters only. Batch norm's buffers, of which :math:`h` could make negative
variances, are averaged as FedAvg does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from numpy.typing import NDArray


class FedDyn(FedAvg):
    r"""Average the clients' parameters without weights, and correct for their drift.

    Clients left out, by the plugin for example, are not in P: :math:`h` stays the mean
    of the clients' own corrections, as these take theirs back. With
    :math:`\alpha = 0` there is nothing to correct, and this is FedAvg.

    Parameters
    ----------
    alpha : float
        :math:`\alpha`, the same as the clients'.
    num_clients : int
        m, the number of all clients, whether they take part in a round or not.
    parameter_names : Collection[str]
        Which arrays are parameters; the others are buffers.
    **options
        As for ``FedAvg``.
    """

    def __init__(
        self,
        *,
        alpha: float,
        num_clients: int,
        parameter_names: Collection[str],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alpha = alpha
        self.num_clients = num_clients
        self.parameter_names = frozenset(parameter_names)
        self.received: dict[str, Array] = {}
        self.correction: dict[str, NDArray[np.float64]] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Remember the global model that the clients start from."""
        self.received = dict(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Average as FedAvg does, then put corrected parameters in the place."""
        replies = list(replies)
        arrays, metrics = super().aggregate_train(server_round, replies)
        if arrays is None or self.alpha == 0:
            return arrays, metrics
        sent = [
            next(iter(reply.content.array_records.values()))
            for reply in replies
            if not reply.has_error()
        ]
        corrected = {
            name: self._correct(name, [record[name].numpy() for record in sent])
            for name in arrays
            if name in self.parameter_names
        }
        return ArrayRecord({**arrays, **corrected}), metrics

    def _correct(self, name: str, sent: list[NDArray[Any]]) -> Array:
        """Update h for one parameter, and give the parameter's new value."""
        start = self.received[name].numpy().astype(np.float64)
        drifts = sum(value - start for value in sent)
        before = self.correction.get(name, np.zeros_like(start))
        self.correction[name] = before - self.alpha / self.num_clients * drifts
        moved = start + drifts / len(sent) - self.correction[name] / self.alpha
        return Array(moved.astype(sent[0].dtype))
