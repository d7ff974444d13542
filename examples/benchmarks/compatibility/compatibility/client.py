"""A message to a reply: a client that trains, or one that attacks."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from torch import nn

from compatibility.entry import Entry
from compatibility.exchange import State

NUM_STEPS = 3
BATCH_SIZE = 8
LEARNING_RATE = 1e-3
ATTACK = -20.0
"""The attacker reverses its update and makes it so many times as long."""


class Client:
    """Trains a model of its own, of which it sends what travels.

    Parameters
    ----------
    entry
        The model and its task.
    place
        Which data the client has.
    attacks
        Whether it turns its update around.
    """

    def __init__(self, entry: Entry, place: int, *, attacks: bool) -> None:
        self.entry, self.place, self.attacks = entry, place, attacks
        self.model = built(entry)
        self._server_round = 0

    def answer(self, message: Message) -> Iterator[Message]:
        """Train on what was sent, and send what travels."""
        self._server_round += 1
        sent = message.content["arrays"].to_torch_state_dict()
        self.entry.travels.put(self.model, sent)
        with torch.random.fork_rng(devices=[]):
            self._train(1000 * self._server_round + self.place)
        yield Message(
            RecordDict(
                {
                    "arrays": record_of(self.entry.travels.take(self.model)),
                    "metrics": MetricRecord({"num-examples": NUM_STEPS * BATCH_SIZE}),
                }
            ),
            reply_to=message,
        )

    def _train(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        start = [parameter.detach().clone() for parameter in trained]
        optimizer = torch.optim.Adam(trained, lr=LEARNING_RATE)
        self.model.train()
        for _ in range(NUM_STEPS):
            optimizer.zero_grad()
            samples = self.entry.draw(generator, BATCH_SIZE)
            self.entry.loss(self.model, samples).backward()
            optimizer.step()
        if self.attacks:
            for parameter, begin in zip(trained, start, strict=True):
                parameter.data = begin + ATTACK * (parameter.data - begin)


def built(entry: Entry) -> nn.Module:
    """Build the same model for everybody."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return entry.build()


def record_of(state: State) -> ArrayRecord:
    """Pack arrays as a client or server sends them."""
    return ArrayRecord({key: array.detach().clone() for key, array in state.items()})
