"""Integer buffers that are places to look something up: no client may move them."""

import numpy as np
import torch
from flwr.serverapp.strategy import FedAvg
from torch import nn

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    arrays_of,
    configured,
    content,
    honest_update,
    reply,
    seeded,
)


class Ordered(nn.Module):
    """Take the features in an order that it keeps as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("order", torch.arange(6).flip(0))

    def forward(self, inputs):
        """Look them up."""
        return self.head(self.body(inputs).relu()[:, self.order])


MODEL = seeded(Ordered)
START = arrays_of(MODEL)


def honest(client):
    """Train the parameters; the order stays."""
    return {**honest_update(START, client), "order": START["order"]}


def beyond(client):
    """Let the order point outside."""
    return {**honest(client), "order": START["order"] + 50}


def protected(**options):
    """Wrap averaging."""
    return VirtualConsistencyStrategy(
        FedAvg(),
        model=MODEL,
        input_shape=(4,),
        **{"num_malicious": 1, "scoring": "hardened", "device": "cpu", **options},
    )


def verdicts(strategy, *updates):
    """Give what became of a round's updates."""
    replies = [reply(node, content(update)) for node, update in enumerate(updates)]
    configured(strategy, START).aggregate_train(1, replies)
    return [decision.verdict for decision in strategy.reports[-1].decisions]


def test_a_moved_place_is_quarantined():
    """Its owner alone, with the reason."""
    strategy = protected()
    found = verdicts(strategy, beyond(0), *map(honest, range(1, 6)))
    assert found[0] == "quarantined"
    assert "quarantined" not in found[1:]
    reason = strategy.reports[0].decisions[0].reason
    assert reason == "order: expected a change of at most 0, found 50"


def test_attackers_who_are_alone_in_a_round_do_not_end_the_run():
    """The model never looks anything up where they say."""
    strategy = protected()
    assert verdicts(strategy, beyond(0), beyond(1)) == ["dropped", "dropped"]
    assert strategy.reports[0].skipped


def test_numbers_that_all_clients_change_are_no_places():
    """Counts of classes, say, grow with everybody."""

    def counting(client):
        return {**honest(client), "order": START["order"] + np.arange(6) + client}

    assert "quarantined" not in verdicts(protected(), *map(counting, range(1, 6)))
