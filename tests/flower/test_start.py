"""The loop of the wrapped strategy runs, whoever wrote it, with the checks in it."""

import inspect

import flwr.serverapp.strategy as flower
import pytest
from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import Result

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    InProcessGrid,
    arrays_of,
    honest_client,
    record_of,
    reversed_update,
    seeded,
)
from tests.models import mlp

NET = seeded(mlp)
POISONED = 3


def wrap(inner, **options):
    """Put the plugin around a strategy; it drops the least consistent client."""
    settings = {"scoring": "paper", "num_malicious": 1, "seed": 1, **options}
    return VirtualConsistencyStrategy(
        inner, model=NET, input_shape=(3, 4), num_virtual_samples=8, **settings
    )


def client(node):
    """Answer honestly, unless it is the poisoned one."""
    honest = honest_client(node)

    def answer(body, message_type):
        answered = honest(body, message_type)
        if node == POISONED and message_type == "train":
            arrays = {k: a.numpy() for k, a in body["arrays"].items()}
            answered["arrays"] = record_of(reversed_update(arrays, node))
        return answered

    return answer


def run(strategy, nodes=range(1, 6), num_rounds=2):
    """Start it over some clients."""
    grid = InProcessGrid({node: client(node) for node in nodes})
    return strategy.start(grid, record_of(arrays_of(NET)), num_rounds=num_rounds)


def honest_result(num_rounds=2):
    """Run FedAvg alone over the honest clients."""
    return run(flower.FedAvg(), (1, 2, 4, 5), num_rounds)


def same(left: ArrayRecord, right: ArrayRecord) -> bool:
    """Tell whether two records are equal bit for bit."""
    return {k: a.data for k, a in left.items()} == {k: a.data for k, a in right.items()}


def dropped(strategy):
    """Name those who were dropped, by round."""
    return [
        [each.client_id for each in report.decisions if each.verdict == "dropped"]
        for report in strategy.reports
    ]


class Checkpoints(flower.FedAvg):
    """Flower's tutorials keep the best model so: around its loop, and in its steps."""

    def __init__(self, **options):
        super().__init__(**options)
        self.saved = []

    def _save(self, arrays):
        self.saved.append(arrays)

    def start(self, *args, **kwargs):
        """Prepare, and let Flower's loop run."""
        self.best = 0.0
        return super().start(*args, **kwargs)

    def aggregate_train(self, server_round, replies):
        """Keep what Flower aggregates."""
        arrays, metrics = super().aggregate_train(server_round, replies)
        self._save(arrays)
        return arrays, metrics


class OwnLoop(flower.FedAvg):
    """A loop without Flower's."""

    def start(self, grid, initial_arrays, num_rounds):
        """Train only."""
        for server_round in range(1, num_rounds + 1):
            asked = self.configure_train(
                server_round, initial_arrays, ConfigRecord(), grid
            )
            replies = grid.send_and_receive(asked)
            initial_arrays, _ = self.aggregate_train(server_round, replies)
        return Result(arrays=initial_arrays)


class InGroups(flower.FedAvg):
    """A strategy that aggregates groups by calling itself."""

    depth = 0

    def aggregate_train(self, server_round, replies):
        """Aggregate those it was given in two groups."""
        if self.depth:
            return super().aggregate_train(server_round, replies)
        self.depth = 1
        halves = [self.aggregate_train(server_round, replies[n::2]) for n in (0, 1)]
        self.depth = 0
        return halves[0]


@pytest.mark.parametrize("make", [flower.FedAvg, Checkpoints, OwnLoop])
def test_a_loop_of_ones_own_runs_with_the_checks_in_it(make):
    """The poisoned client is dropped each round, and the others are averaged."""
    strategy = wrap(make())
    result = run(strategy)
    assert dropped(strategy) == [[str(POISONED)]] * 2
    assert same(result.arrays, honest_result().arrays)


def test_what_an_overridden_start_keeps_is_there():
    """Its attributes and private helpers are the wrapped strategy's own."""
    inner = Checkpoints()
    strategy = wrap(inner)
    result = run(strategy)
    assert inner.best == strategy.best == 0.0
    assert len(inner.saved) == 2
    assert same(inner.saved[-1], result.arrays)


def test_a_strategy_that_calls_itself_is_checked_once():
    """Its own methods call each other as they do without the plugin."""
    inner = InGroups()
    strategy = wrap(inner)
    run(strategy, num_rounds=1)
    assert dropped(strategy) == [[str(POISONED)]]


def test_wrappers_in_wrappers_check_in_turn():
    """The outer one drops first, then the inner one; the loop is the inmost's."""
    inner = Checkpoints()
    middle = wrap(inner, seed=2)
    outer = wrap(middle)
    run(outer, num_rounds=1)
    assert len(inner.saved) == 1
    assert [each.num_kept for each in (*outer.reports, *middle.reports)] == [4, 3]
    assert dropped(outer) == [[str(POISONED)]]


class Interrupted(flower.FedAvg):
    """A loop that ends early."""

    def start(self, *args, **kwargs):
        """Raise."""
        raise KeyboardInterrupt


def test_afterwards_the_wrapped_strategys_methods_are_its_own():
    """Also after a run that was interrupted, and where an instance had its own."""
    inner = Interrupted()
    inner.summary = own = lambda: None
    with pytest.raises(KeyboardInterrupt):
        run(wrap(inner))
    assert vars(inner)["summary"] is own
    assert "aggregate_train" not in vars(inner)


def test_the_settings_are_told_in_any_loop(flower_log):
    """Flower's loop logs a summary."""
    run(wrap(Checkpoints()), num_rounds=1)
    assert flower_log.text.count("Virtual consistency:\n") == 1
    assert "Starting Checkpoints strategy" in flower_log.text


def test_the_signature_is_flowers():
    """Of whatever version is installed."""
    expected = inspect.signature(flower.FedAvg.start)
    assert inspect.signature(type(wrap(flower.FedAvg())).start) == expected


class Elsewhere(flower.FedAvg):
    """A loop that aggregates by itself."""

    def start(self, *args, **kwargs):
        """Do something else."""
        return Result()


def test_a_loop_past_the_checks_is_told(flower_log):
    """Nothing is checked, which nobody should take for protection."""
    run(wrap(Elsewhere()))
    assert "start never called aggregate_train" in flower_log.text


def test_a_run_that_trains_nothing_gives_the_model_and_says_why(flower_log):
    """Two clients are too few to drop one: said before anybody trains, and after."""
    result = run(wrap(flower.FedAvg()), nodes=(1, 2))
    assert same(result.arrays, record_of(arrays_of(NET)))
    first, last = (r for r in flower_log.records if r.levelname == "ERROR")
    assert "2 clients are asked, and to drop 1 of them at least 3 must answer" in (
        first.getMessage()
    )
    assert last.getMessage() == (
        "Virtual consistency: 0 of 2 rounds aggregated, so the model is untrained "
        "(too few updates to compare: 2)"
    )
    assert flower_log.records[-1] is last


class Nothing(flower.FedAvg):
    """A strategy that never gives a model."""

    def aggregate_train(self, server_round, replies):
        """Give none."""
        return None, None


@pytest.mark.parametrize(
    ("inner", "nodes", "says"),
    [
        (Nothing(), range(1, 6), "the wrapped strategy gave no model"),
        (flower.FedAvg(fraction_train=0.0), range(1, 6), None),
    ],
)
def test_whose_fault_it_is_that_nothing_is_trained(inner, nodes, says, flower_log):
    """The strategy's own; where nobody was asked to train nothing is amiss."""
    result = run(wrap(inner), nodes)
    told = [r.getMessage() for r in flower_log.records if r.levelname == "ERROR"]
    assert [says in line for line in told] == ([True] if says else [])
    assert bool(result.arrays) is bool(says)


def test_fewer_clients_than_are_to_be_dropped_are_told_once(flower_log):
    """Four of them cannot have three dropped; a fraction or "auto" adapts."""
    for num_malicious in (0, 0.4, 3):
        strategy = wrap(flower.FedAvg(), num_malicious=num_malicious)
        run(strategy, nodes=range(1, 5))
    assert flower_log.text.count("at least 5 must answer") == 1
