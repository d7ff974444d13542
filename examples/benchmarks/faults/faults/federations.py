"""Drafts to rounds: the plugin around a strategy of either API, in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.common import Parameters
from flwr.server import SimpleClientManager

from faults.clients import Arrays
from faults.draft import Draft, decoded, encoded
from faults.grid import ProcessGrid
from faults.replies import (
    TENSOR_TYPE,
    Proxy,
    evaluate_result,
    failure,
    fit_result,
    message_from,
)


class Federation(Protocol):
    """A strategy that is led through its rounds."""

    strategy: Any
    metrics: object

    def configure(self, server_round: int, arrays: Arrays) -> set[int]:
        """Show the strategy the global state of a round, and see whom it asks."""

    def train(self, server_round: int, replies: Sequence[Draft]) -> Arrays | None:
        """Aggregate the replies of a round; None keeps the model."""

    def evaluate(self, server_round: int, replies: Sequence[Draft]) -> None:
        """Aggregate the replies to an evaluation."""


class MessageFederation:
    """A strategy of the Message API.

    Parameters
    ----------
    strategy : flwr.serverapp.strategy.Strategy
        The one to lead.
    clients : Sequence[int]
        Who is online.
    """

    def __init__(self, strategy: Any, clients: Sequence[int]) -> None:
        self.strategy = strategy
        self.metrics: object = None
        self._grid = ProcessGrid(dict.fromkeys(clients, lambda _: ()))

    def configure(self, server_round: int, arrays: Arrays) -> set[int]:
        """Let the strategy configure training."""
        record = ArrayRecord({k: Array(np.asarray(v)) for k, v in arrays.items()})
        config = ConfigRecord()
        asked = self.strategy.configure_train(server_round, record, config, self._grid)
        return {message.metadata.dst_node_id for message in asked or ()}

    def train(self, server_round: int, replies: Sequence[Draft]) -> Arrays | None:
        """Let the strategy aggregate messages."""
        messages = [message_from(reply, "train") for reply in replies]
        found = self.strategy.aggregate_train(server_round, messages)
        arrays, self.metrics = found
        return arrays and {key: array.numpy() for key, array in arrays.items()}

    def evaluate(self, server_round: int, replies: Sequence[Draft]) -> None:
        """Let the strategy aggregate the messages of an evaluation."""
        messages = [message_from(reply, "evaluate") for reply in replies]
        self.metrics = self.strategy.aggregate_evaluate(server_round, messages)


class LegacyFederation:
    """A strategy of the legacy API, which loses the names of arrays.

    Parameters
    ----------
    strategy : flwr.server.strategy.Strategy
        The one to lead.
    clients : Sequence[int]
        Who is online.
    """

    def __init__(self, strategy: Any, clients: Sequence[int]) -> None:
        self.strategy = strategy
        self.metrics: object = None
        self._manager = SimpleClientManager()
        for client in clients:
            self._manager.register(Proxy(client))
        self._names: tuple[str, ...] = ()

    def configure(self, server_round: int, arrays: Arrays) -> set[int]:
        """Let the strategy configure training."""
        self._names = tuple(arrays)
        tensors = [encoded(np.asarray(values)) for values in arrays.values()]
        parameters = Parameters(tensors, TENSOR_TYPE)
        asked = self.strategy.configure_fit(server_round, parameters, self._manager)
        return {int(proxy.cid) for proxy, _ in asked or ()}

    def train(self, server_round: int, replies: Sequence[Draft]) -> Arrays | None:
        """Let the strategy aggregate results; errors are failures."""
        results = [(Proxy(r.client), fit_result(r)) for r in replies if not r.is_error]
        failures = _failures(replies)
        outcome = self.strategy.aggregate_fit(server_round, results, failures)
        found, self.metrics = outcome
        return found and dict(
            zip(self._names, map(decoded, found.tensors), strict=True)
        )

    def evaluate(self, server_round: int, replies: Sequence[Draft]) -> None:
        """Let the strategy aggregate the results of an evaluation."""
        results = [
            (Proxy(reply.client), evaluate_result(reply))
            for reply in replies
            if not reply.is_error
        ]
        failures = _failures(replies)
        found = self.strategy.aggregate_evaluate(server_round, results, failures)
        self.metrics = found


def _failures(replies: Sequence[Draft]) -> list[Any]:
    return [failure(reply) for reply in replies if reply.is_error]
