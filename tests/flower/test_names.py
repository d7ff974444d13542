"""Nodes' names, and what every report says of the run."""

from types import SimpleNamespace

import flwr.serverapp.strategy as flower
import pytest

import flwr_vdcs
from flwr_vdcs import Reputation, VirtualConsistencyStrategy
from flwr_vdcs.flower.names import names_of
from tests.federation import (
    InProcessGrid,
    arrays_of,
    honest_client,
    record_of,
    seeded,
)
from tests.models import mlp

NET = seeded(mlp)


class NamedGrid(InProcessGrid):
    """Name every other node, as an administrator may have."""

    num_asked = 0

    def get_nodes(self):
        """Give what a SuperLink knows of its nodes."""
        self.num_asked += 1
        return [
            SimpleNamespace(node_id=node, name=f"hospital-{node}" if node % 2 else "")
            for node in self.get_node_ids()
        ]


class BrokenGrid(InProcessGrid):
    """Cannot say which nodes there are."""

    def get_nodes(self):
        """Fail as a broken connection does."""
        raise ConnectionError


def reports(grid, **options):
    """Run two rounds."""
    strategy = VirtualConsistencyStrategy(
        flower.FedAvg(), model=NET, input_shape=(3, 4), **options
    )
    strategy.start(grid, record_of(arrays_of(NET)), 2)
    return strategy.reports


def clients():
    """Answer honestly."""
    return {node: honest_client(node) for node in range(1, 5)}


def test_nodes_are_called_what_flower_calls_them():
    """Each decision has the name, and the grid is asked once for the same nodes."""
    grid = NamedGrid(clients())
    for report in reports(grid):
        names = {each.client_id: each.name for each in report.decisions}
        assert names == {"1": "hospital-1", "2": "", "3": "hospital-3", "4": ""}
    assert grid.num_asked == 1


def test_a_grid_that_knows_no_names_costs_no_round():
    """Then all names are empty."""
    for report in reports(BrokenGrid(clients())):
        assert [each.name for each in report.decisions] == [""] * 4


def test_new_nodes_are_asked_for():
    """What is known stays known."""
    grid = NamedGrid(clients())
    known = names_of({"1"}, grid, {})
    assert names_of({"1", "2"}, grid, known) is known  # all were told at once
    grid.clients[5] = honest_client(5)
    assert names_of({"5"}, grid, known)["5"] == "hospital-5"
    assert names_of({"9"}, grid, {"8": "gone"}) == {
        **names_of({"1"}, grid, {}),
        "8": "gone",
        "9": "",
    }


@pytest.mark.parametrize("num_malicious", ["auto", 1, 0.25])
def test_reports_tell_with_what_they_were_decided(num_malicious):
    """The same run in every report of one object, another in the next."""
    options = {"num_malicious": num_malicious, "reputation": Reputation(parole=7)}
    first, second = reports(InProcessGrid(clients()), **options)
    assert first.run == second.run
    assert first.run.num_malicious == num_malicious
    assert first.run.threshold == flwr_vdcs.HardenedScoring().threshold
    assert first.run.num_virtual_samples == 100
    assert "parole=7" in first.run.reputation
    assert first.run.versions["flwr-vdcs"] == flwr_vdcs.__version__
    assert set(first.run.versions) == {"flwr-vdcs", "flwr", "torch"}
    [again, _] = reports(InProcessGrid(clients()), **options)
    assert again.run.id != first.run.id
