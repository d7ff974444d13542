"""What a reply claims besides its arrays: weights, metrics, records, who it is."""

import math

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import (
    ConfigRecord,
)

from flwr_vdcs import VirtualConsistencyStrategy
from tests.admission.lies import (
    HONEST,
    NET,
    START,
    VALUES,
    aggregate,
    honest_replies,
    metrics,
    with_value,
    wrapped,
)
from tests.federation import (
    LegacyClient,
    configured,
    content,
    fit_result,
    honest_update,
    legacy_aggregate,
    legacy_configured,
    reply,
)


def test_the_second_reply_of_a_client_is_quarantined():
    """A client that answers twice counts once."""
    strategy = wrapped()
    aggregate(strategy, [*honest_replies(), reply(3, content(HONEST[0]))])
    *first, second = strategy.reports[0].decisions
    assert all(decision.verdict == "kept" for decision in first)
    assert second.reason == "this client has answered already"


def test_a_client_that_answers_often_has_one_vote():
    """Six replies of one client do not outvote five honest clients."""
    strategy = wrapped()
    shout = content(HONEST[0], metrics(more=1, num_examples=10**9))
    aggregate(strategy, [*[reply(9, shout) for _ in range(6)], *honest_replies()])
    [report] = strategy.reports
    assert (report.num_kept, report.num_quarantined) == (5, 6)


def test_numpys_integers_are_weights():
    """In-process clients of the legacy API often count with NumPy."""
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(),
            model=NET,
            input_shape=(1, 6, 6),
            num_malicious=0,
            scoring="paper",
        ),
        START,
    )
    client = LegacyClient(9, honest_update)
    legacy_aggregate(strategy, [(client, fit_result(VALUES, np.int64(10)))])
    assert strategy.reports[0].num_kept == 1


def test_refused_replies_have_no_say_in_what_is_typical():
    """More liars than honest clients, with other metrics, change nothing."""
    liars = [
        reply(20 + n, content(with_value("0.weight", math.nan), metrics(more=n)))
        for n in range(6)
    ]
    shouts = [
        reply(30 + n, content(HONEST[0], metrics(more=1, num_examples=-1)))
        for n in range(6)
    ]
    strategy = wrapped()
    found = aggregate(strategy, [*liars, *shouts, *honest_replies()])
    assert found == aggregate(message.FedAvg(), honest_replies())


def test_a_client_id_cannot_write_lines_into_the_log(flower_log):
    """What is not printable is quoted."""
    strategy = legacy_configured(
        VirtualConsistencyStrategy(
            legacy.FedAvg(),
            model=NET,
            input_shape=(1, 6, 6),
            num_malicious=0,
            scoring="paper",
        ),
        START,
    )
    client = LegacyClient(9, honest_update)
    client.cid = "9\nWARNING: all is well"
    legacy_aggregate(strategy, [(client, fit_result([]))])
    assert "Client '9\\nWARNING" in flower_log.text


def test_an_extra_config_record_is_allowed():
    """Records that Flower does not aggregate are the client's own business."""
    strategy = wrapped()
    extra = content(HONEST[0], notes=ConfigRecord({"partition": 3}))
    aggregate(strategy, [reply(9, extra), *honest_replies()])
    assert strategy.reports[0].decisions[0].verdict == "kept"


@pytest.mark.parametrize("loss", [math.nan, -1.0, math.inf, 1e60, [1.0]])
def test_a_lie_about_the_loss_is_quarantined_where_it_weighs(loss):
    """q-FedAvg weighs clients by their loss, so one NaN would ruin the model."""
    strategy = VirtualConsistencyStrategy(
        message.QFedAvg(client_learning_rate=0.1),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
    )
    arrays = {k: v for k, v in HONEST[0].items() if not k.endswith("tracked")}
    start = {k: START[k] for k in arrays}
    replies = [reply(n, content(arrays)) for n in range(4)]
    liar_reply = reply(9, content(arrays, metrics(train_loss=loss)))
    found, _ = configured(strategy, start).aggregate_train(1, [liar_reply, *replies])
    assert "train_loss: expected a number from 0 to 1e+06" in (
        strategy.reports[0].decisions[0].reason
    )
    assert all(np.isfinite(array.numpy()).all() for array in found.values())


def test_a_strategy_without_weights_needs_none():
    """A strategy of one's own that weighs nobody takes replies without a weight."""

    class Unweighted(message.Strategy):
        def configure_train(self, server_round, arrays, config, grid):
            return []

        def aggregate_train(self, server_round, replies):
            return next(iter(replies)).content["arrays"], None

        def configure_evaluate(self, server_round, arrays, config, grid):
            return []

        def aggregate_evaluate(self, server_round, replies):
            return None

        def summary(self):
            pass

    strategy = VirtualConsistencyStrategy(
        Unweighted(),
        model=NET,
        input_shape=(1, 6, 6),
        num_malicious=0,
        scoring="paper",
        equal_weights=True,
    )
    replies = [reply(n, content(HONEST[n], {"loss": 1.0})) for n in range(3)]
    assert aggregate(strategy, replies) == replies[0].content["arrays"]
