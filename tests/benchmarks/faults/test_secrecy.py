"""The secret of a round: drawn when the replies are in, and told to nobody before."""

import secrets
import sys
from io import BytesIO

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

from tests.benchmarks.faults.plugin import START, protected
from tests.federation import InProcessGrid, honest_client, record_of

NUM_ROUNDS = 3
NUM_CLIENTS = 5


class Watched(InProcessGrid):
    """Write down what is sent to clients, and when."""

    def __init__(self, events):
        super().__init__({node: honest_client(node) for node in range(NUM_CLIENTS)})
        self.events = events
        self.sent = []

    def _answer(self, message):
        self.sent.append(message.content)
        answer = super()._answer(message)
        self.events.append(f"{message.metadata.message_type} answered")
        return answer


@pytest.fixture
def watched(monkeypatch):
    """Run three rounds, and write down when randomness is drawn from the system."""
    events, drawn = [], []
    randbelow = secrets.randbelow

    def drawing(limit):
        events.append("drawn")
        drawn.append(randbelow(limit))
        return drawn[-1]

    monkeypatch.setattr(secrets, "randbelow", drawing)
    grid = Watched(events)
    strategy = protected(FedAvg(), num_malicious=1)
    strategy.start(grid, record_of(START), num_rounds=NUM_ROUNDS)
    return events, drawn, grid.sent, strategy


def test_the_seed_is_drawn_once_all_have_answered(watched):
    """One draw a round, after the last training reply and before the evaluation."""
    events, drawn, _, strategy = watched
    a_round = [
        *["train answered"] * NUM_CLIENTS,
        "drawn",
        *["evaluate answered"] * NUM_CLIENTS,
    ]
    assert events == a_round * NUM_ROUNDS
    assert [report.seed for report in strategy.reports] == drawn
    assert len(set(drawn)) == NUM_ROUNDS


def test_no_message_to_a_client_holds_a_seed(watched):
    """Neither a past one nor the next, as a number, as text or as bytes."""
    _, drawn, sent, _ = watched
    assert len(sent) == 2 * NUM_ROUNDS * NUM_CLIENTS
    for seed in drawn:
        assert not any(holds(content, seed) for content in sent)


def test_the_search_finds_a_seed():
    """What looks for it finds it in every kind of record."""
    seed = 2**52 + 12345
    for record in (
        ConfigRecord({"note": f"seed {seed}"}),
        ConfigRecord({"note": seed}),
        ConfigRecord({"note": seed.to_bytes(8, sys.byteorder)}),
        MetricRecord({"note": float(seed)}),
        ArrayRecord([np.array([0.5, float(seed)])]),
    ):
        assert holds(RecordDict({"any": record}), seed)


def holds(content, seed):
    """Tell whether a number is anywhere in the content of a message."""
    texts = repr(
        [
            *map(dict, content.config_records.values()),
            *map(dict, content.metric_records.values()),
        ]
    )
    arrays = [
        np.load(BytesIO(array.data))
        for record in content.array_records.values()
        for array in record.values()
    ]
    in_bytes = any(
        seed.to_bytes(8, order) in value
        for record in content.config_records.values()
        for value in record.values()
        if isinstance(value, bytes)
        for order in ("little", "big")
    )
    in_arrays = any((array == seed).any() for array in arrays)
    return str(seed) in texts or in_bytes or in_arrays
