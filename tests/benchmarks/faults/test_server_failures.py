"""Failures of the server itself: no client is blamed, and the run goes on."""

import pytest
import torch
from flwr.serverapp.strategy import FedAvg

from flwr_vdcs import Reputation
from flwr_vdcs.errors import ScoringError
from flwr_vdcs.scoring import PaperScoring
from tests.benchmarks.faults.plugin import START, protected
from tests.federation import InProcessGrid, honest_client, record_of

NUM_CLIENTS, NUM_ROUNDS = 6, 8


class Broken(PaperScoring):
    """Have a bug."""

    def features(self, *_args):
        """Look for what is not there."""
        return self.there_is_no_such_thing


def run(strategy):
    """Run rounds with honest clients."""
    nodes = {node: honest_client(node) for node in range(NUM_CLIENTS)}
    return strategy.start(InProcessGrid(nodes), record_of(START), num_rounds=NUM_ROUNDS)


def test_a_bug_in_a_scoring_ends_the_run_and_shows_itself():
    """Nobody is quarantined for it."""
    strategy = protected(FedAvg(), num_malicious=1, scoring=Broken())
    with pytest.raises(ScoringError, match="fails for the global model") as caught:
        run(strategy)
    assert isinstance(caught.value.__cause__, AttributeError)
    assert strategy.reports == []


class Miscounting(PaperScoring):
    """Lose a score."""

    def scores(self, features):
        """Leave out the last."""
        return super().scores(features)[:-1]


class Listing(PaperScoring):
    """Give what is no tensor."""

    def features(self, *_args):
        """Give a list."""
        return [1.0]


@pytest.mark.parametrize("scoring", [Broken, Miscounting, Listing])
def test_a_bug_in_a_scoring_leaves_a_dry_run_alone(scoring, flower_log):
    """Every update goes on, and the log tells the error once."""
    strategy = protected(FedAvg(), num_malicious=0, scoring=scoring())
    found, expected = run(strategy), run(FedAvg(fraction_evaluate=0.0))
    for key, array in expected.arrays.items():
        assert (found.arrays[key].numpy() == array.numpy()).all()
    assert {d.score for r in strategy.reports for d in r.decisions} == {None}
    assert flower_log.text.count("the updates cannot be scored") == 1
    assert "Traceback" in flower_log.text


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
    run(strategy)
    verdicts = {d.verdict for report in strategy.reports for d in report.decisions}
    assert len(strategy.reports) == NUM_ROUNDS
    assert verdicts == ({"dropped"} if num_malicious else {"kept"})
    assert all(report.skipped == bool(num_malicious) for report in strategy.reports)
    said = "is skipped and the model kept: the server ran out of memory"
    assert (said in flower_log.text) == bool(num_malicious)
    unscored = flower_log.text.count("the updates cannot be scored")
    assert unscored == (not num_malicious)
    assert strategy.state_dict()["clients"] == {}
