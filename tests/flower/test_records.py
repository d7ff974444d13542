"""Records: one is judged, those that the strategy does not read pass through."""

import math

import flwr.serverapp.strategy as flower
import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError
from tests.federation import (
    arrays_of,
    configured,
    content,
    honest_update,
    record_of,
    reply,
    request,
    reversed_update,
    seeded,
)
from tests.models import mlp

NET = seeded(mlp)
START = arrays_of(NET)
NUM_CLIENTS = 5
POISONED = 2


class FirstReply(flower.FedAvg):
    """A strategy of one's own, which takes what it is given."""

    def aggregate_train(self, server_round, replies):
        """Remember the replies."""
        self.got = [each.content for each in replies]
        return ArrayRecord(), MetricRecord({"clients": len(self.got)})

    def aggregate_evaluate(self, server_round, replies):
        """Count the replies."""
        return MetricRecord({"clients": len(list(replies))})


def wrap(inner, **options):
    """Put the plugin around a strategy; it drops the least consistent client."""
    settings = {"scoring": "paper", "num_malicious": 1, "seed": 1, **options}
    return VirtualConsistencyStrategy(
        inner, model=NET, input_shape=(3, 4), num_virtual_samples=8, **settings
    )


def model(client):
    """Give a client's model; one has it reversed."""
    update = reversed_update if client == POISONED else honest_update
    return update(START, client)


def aggregated(strategy, bodies, start=START):
    """Aggregate one round of replies, and give who was kept."""
    replies = [reply(client, body) for client, body in enumerate(bodies)]
    configured(strategy, start).aggregate_train(1, replies)
    [report] = strategy.reports
    return [each.client_id for each in report.decisions if each.verdict == "kept"]


HONEST = [str(n) for n in range(NUM_CLIENTS) if n != POISONED]


def without_metrics(client):
    """Send no numbers."""
    body = {"arrays": record_of(model(client)), "site": ConfigRecord({"n": client})}
    return RecordDict(body)


def with_control_variates(client):
    """Send SCAFFOLD's second record, of another size than the model."""
    return content(model(client), control=record_of({"drift": START["1.bias"]}))


def with_control_variates_alike(client):
    """Send one with the model's keys, before the model."""
    body = content(model(client))
    return RecordDict({"a control": record_of(START), **body})


def with_two_metrics(client):
    """Send two records of numbers."""
    return content(model(client), timing=MetricRecord({"seconds": 1.0}))


def with_metrics_of_its_own(client):
    """Name the numbers after the client."""
    return content(model(client), {"num-examples": 10, f"loss of {client}": 1.0})


@pytest.mark.parametrize(
    "body",
    [
        without_metrics,
        with_control_variates,
        with_control_variates_alike,
        with_two_metrics,
        with_metrics_of_its_own,
    ],
)
def test_a_strategy_of_ones_own_may_read_other_records(body):
    """The model is judged, and everything else goes on with it."""
    inner = FirstReply()
    bodies = [body(client) for client in range(NUM_CLIENTS)]
    assert aggregated(wrap(inner), bodies) == HONEST
    assert [set(each) for each in inner.got] == [set(bodies[0])] * len(HONEST)


@pytest.mark.parametrize(
    "body", [without_metrics, with_control_variates, with_two_metrics]
)
def test_who_has_other_records_than_most_is_refused(body):
    """One of five; what Flower's own strategies cannot read, they never get."""
    for inner in (FirstReply(), flower.FedAvg()):
        strategy = wrap(inner, num_malicious=0)
        odd, *others = range(NUM_CLIENTS)
        bodies = [body(odd), *(content(model(client)) for client in others)]
        assert aggregated(strategy, bodies) == [str(client) for client in others]


def test_the_record_to_judge_can_be_named():
    """The other one has the name under which the model goes out."""
    bodies = [
        RecordDict({"arrays": record_of(START), "trained": record_of(model(client))})
        for client in range(NUM_CLIENTS)
    ]
    strategy = wrap(FirstReply(), arrays_key="trained")
    assert aggregated(strategy, bodies) == HONEST


def test_where_the_strategy_names_nothing_the_user_can():
    """A weight under another name is checked, and the loss as well."""
    bodies = [
        content(model(client), {"patients": 10 if client else 10**9, "risk": 1.0})
        for client in range(NUM_CLIENTS)
    ]
    bodies[1]["metrics"]["risk"] = float("nan")
    strategy = wrap(
        FirstReply(), num_malicious=0, weight_key="patients", loss_key="risk"
    )
    assert aggregated(strategy, bodies) == ["2", "3", "4"]
    reasons = [each.reason for each in strategy.reports[0].decisions]
    assert "at most 1000 times the median" in reasons[0]
    assert "risk: expected a number from 0" in reasons[1]


@pytest.mark.parametrize("name", ["arrays_key", "weight_key", "loss_key"])
def test_names_are_strings(name):
    """Anything else fails at construction."""
    with pytest.raises(InvalidArgumentError, match="None, or a string"):
        wrap(flower.FedAvg(), **{name: 1})


def test_a_strategy_under_any_name_says_how_it_weighs():
    """Also where two point at each other."""

    class Outer(FirstReply):
        def __init__(self):
            super().__init__()
            del self.weighted_by_key
            self.inmost = flower.FedAvg(weighted_by_key="patients")
            self.inmost.outer = self

    bodies = [content(model(client), {"patients": 10}) for client in range(NUM_CLIENTS)]
    bodies[0]["metrics"]["patients"] = -3
    strategy = wrap(Outer(), num_malicious=0)
    assert aggregated(strategy, bodies) == ["1", "2", "3", "4"]


class Holding(flower.FedAvg):
    """A strategy that keeps another one, under a name of its own, to aggregate."""

    def __init__(self):
        super().__init__()
        self.fair = flower.QFedAvg(
            client_learning_rate=0.1, train_loss_key="train_loss"
        )

    def configure_train(self, server_round, arrays, config, grid):
        """Let the other one configure."""
        return self.fair.configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        """Let the other one aggregate."""
        return self.fair.aggregate_train(server_round, replies)


@pytest.mark.parametrize("loss", [math.nan, math.inf, -1.0, 1e300])
def test_a_loss_is_checked_for_a_strategy_under_any_name(loss):
    """By a loss that is not a number q-FedAvg makes the whole model so."""
    bodies = [
        content(model(client), {"num-examples": 10, "train_loss": 1.0})
        for client in range(NUM_CLIENTS)
    ]
    bodies[0]["metrics"]["train_loss"] = loss
    strategy = configured(wrap(Holding(), num_malicious=0), START)
    replies = [reply(client, body) for client, body in enumerate(bodies)]
    arrays, _ = strategy.aggregate_train(1, replies)
    first, *others = strategy.reports[0].decisions
    assert first.verdict == "quarantined"
    assert "train_loss: expected a number" in first.reason
    assert {each.verdict for each in others} == {"kept"}
    assert all(np.isfinite(array.numpy()).all() for array in arrays.values())


def test_a_round_of_statistics_goes_on_unjudged(flower_log):
    """Nobody sends arrays; there is nothing to report, and the model stays."""
    inner = FirstReply()
    bodies = [content(None, {"mean": client / 2}) for client in range(NUM_CLIENTS)]
    strategy = wrap(inner)
    replies = [reply(client, body) for client, body in enumerate(bodies)]
    _, metrics = configured(strategy, START).aggregate_train(1, replies)
    assert inner.got == bodies
    assert metrics == {"clients": NUM_CLIENTS}
    assert strategy.reports == []
    assert "no reply carries arrays, so all of them go on" in flower_log.text


def test_nobody_without_arrays_ends_a_run_of_flowers_own():
    """FedAvg would raise; so they are refused there, and the model is kept."""
    strategy = wrap(flower.FedAvg())
    honest = [content(model(client)) for client in range(4)]
    assert aggregated(strategy, [RecordDict(), *honest])
    again = wrap(flower.FedAvg(), num_malicious=0)
    replies = [reply(1, content(model(1), {"num-examples": 0}))]
    assert configured(again, START).aggregate_train(1, replies)[0] is None


@pytest.mark.parametrize(
    "body",
    [
        RecordDict({"report": ConfigRecord({"confusion": "[[1, 2], [3, 4]]"})}),
        RecordDict({"a": MetricRecord({"x": 1.0}), "b": MetricRecord({"x": 2.0})}),
    ],
)
def test_an_evaluation_of_ones_own_may_carry_other_records(body):
    """None is refused for what all of them have."""
    strategy = wrap(FirstReply())
    replies = [reply(client, body) for client in range(3)]
    assert strategy.aggregate_evaluate(1, replies) == {"clients": 3}
    assert strategy.evaluation_reports == []


def test_a_strategy_may_sample_nobody():
    """None is handed on, and so is a generator's content, as often as it is read."""

    class Rarely(flower.FedAvg):
        def configure_train(self, *_):
            yield request(1, RecordDict({"arrays": record_of(START)}))

        def configure_evaluate(self, *_):
            return None

    strategy = wrap(Rarely())
    asked = strategy.configure_train(1, record_of(START), ConfigRecord(), None)
    assert [*asked] == [*asked] != []
    assert (
        strategy.configure_evaluate(1, record_of(START), ConfigRecord(), None) is None
    )
