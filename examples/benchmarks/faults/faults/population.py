"""Messages to replies: a population of clients that come and go, not all of them good.

Of ten clients seven train honestly, two reverse what they have trained, and one is
broken: every reply of it went through a mutation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from faults.clients import Arrays, accuracy, num_digits, train
from faults.draft import WEIGHT, Draft, encoded
from faults.grid import Node
from faults.mutations import mutate, names, possible
from faults.replies import answered

SHARE_OF_DIGITS = 60
"""How many digits a client has."""

CYCLE = 10
MALICIOUS, BROKEN = (3, 7), (5,)
"""Remainders of the clients' numbers."""


class Population:
    """Who is online, anew in every round.

    Parameters
    ----------
    num_online : int
        How many at a time.
    num_leaving : int
        How many of them are exchanged in a round: half for new clients, half for some
        that were there before.
    seed : int
        Decides everything that is random.
    is_harmless : bool
        Whether all are honest after all.
    """

    def __init__(
        self, num_online: int, num_leaving: int, seed: int, *, is_harmless: bool
    ) -> None:
        self.num_leaving = num_leaving
        self.is_harmless = is_harmless
        self.nodes: dict[int, Node] = {}
        self.num_seen = 0
        self._rng = np.random.default_rng(seed)
        self._away: list[int] = []
        for _ in range(num_online):
            self._join_anew()

    def exchange(self) -> None:
        """Let some leave, and as many come."""
        leaving = self._rng.choice(list(self.nodes), self.num_leaving, replace=False)
        for client in leaving.tolist():
            del self.nodes[client]
        for place in range(self.num_leaving):
            if place % 2 and self._away:
                self._join(self._away.pop(self._rng.integers(len(self._away))))
            else:
                self._join_anew()
        self._away += leaving.tolist()

    def _join_anew(self) -> None:
        self.num_seen += 1
        self._join(self.num_seen)

    def _join(self, client: int) -> None:
        self.nodes[client] = lambda message: self._answer(client, message)

    def _answer(self, client: int, message: Message) -> Iterable[Message]:
        message_type = message.metadata.message_type
        [record] = message.content.array_records.values()
        arrays = {key: array.numpy() for key, array in record.items()}
        draft = self._draft(client, message_type, arrays)
        if client % CYCLE in BROKEN and not self.is_harmless:
            stages = possible("message", message_type)
            name = self._rng.choice(names(stages))
            draft = mutate(draft, name, stages, self._rng)
        return answered(draft, message)

    def _draft(self, client: int, message_type: str, arrays: Arrays) -> Draft:
        rows = self._rows(client)
        metrics = {WEIGHT: len(rows), "recalls": [0.5] * 10}
        if message_type == "evaluate":
            claims = {"train_loss": 1.0, "accuracy": accuracy(arrays, rows)}
            return Draft(client, {}, metrics | claims, array_records=())
        claims = {"train_loss": 1.0, "accuracy": 0.0}
        trained = train(arrays, rows, int(self._rng.integers(2**32)))
        if client % CYCLE in MALICIOUS and not self.is_harmless:
            trained = {
                key: _reversed(key, arrays[key], trained[key]) for key in trained
            }
        data = {key: encoded(values) for key, values in trained.items()}
        return Draft(client, data, metrics | claims)

    def _rows(self, client: int) -> NDArray[np.integer[Any]]:
        """Give a client the digits that it always has."""
        own = np.random.default_rng(client)
        return own.choice(num_digits(), SHARE_OF_DIGITS, replace=False)


def _reversed(
    key: str, start: NDArray[Any], trained: NDArray[Any]
) -> NDArray[np.generic]:
    """Go the other way; running statistics are left alone."""
    is_parameter = "running" not in key and "tracked" not in key
    return np.asarray(2 * start - trained if is_parameter else trained, trained.dtype)
