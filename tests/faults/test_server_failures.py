"""Failures of the server itself: no client is blamed, and the run goes on."""

import pytest
import torch
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import Reputation
from flwr_vdcs.scoring import PaperScoring
from tests.faults.plugin import START, protected
from tests.federation import InProcessGrid, honest_client, record_of

NUM_CLIENTS, NUM_ROUNDS = 6, 8


class OutOfMemory(PaperScoring):
    """Run out of memory at the last client of each round."""

    def __init__(self, error: type[Exception]) -> None:
        self.error, self.seen = error, 0

    def features(self, *args):
        """Count the clients."""
        self.seen += 1
        if self.seen % NUM_CLIENTS == 0:
            raise self.error
        return super().features(*args)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
@pytest.mark.parametrize("num_malicious", [0, 1])
def test_out_of_memory_is_nobodys_fault(error, num_malicious, flower_log):
    """The rounds are skipped and said to be; nobody is quarantined or banned."""
    strategy = protected(
        FedAvg(),
        num_malicious=num_malicious,
        scoring=OutOfMemory(error),
        reputation=Reputation(),
    )
    nodes = {node: honest_client(node) for node in range(NUM_CLIENTS)}
    strategy.start(InProcessGrid(nodes), record_of(START), num_rounds=NUM_ROUNDS)
    verdicts = {d.verdict for report in strategy.reports for d in report.decisions}
    assert len(strategy.reports) == NUM_ROUNDS
    assert verdicts == ({"dropped"} if num_malicious else {"kept"})
    assert all(report.skipped == bool(num_malicious) for report in strategy.reports)
    said = "is skipped and the model kept: the server ran out of memory"
    assert (said in flower_log.text) == bool(num_malicious)
    assert strategy.state_dict()["clients"] == {}
