"""``report_only``: everything is decided and told, and nothing is done."""

import json

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import ConfigRecord
from flwr.common import ndarrays_to_parameters
from flwr.server.client_manager import SimpleClientManager

from flwr_vdcs import PaperScoring, Reputation, VirtualConsistencyStrategy
from flwr_vdcs.errors import InvalidArgumentError
from tests.federation import (
    InProcessGrid,
    LegacyClient,
    arrays_of,
    content,
    fit_result,
    honest_client,
    honest_update,
    record_of,
    reply,
    reversed_update,
    seeded,
)
from tests.models import batch_norm_cnn, mlp

NET = seeded(mlp)
START = arrays_of(NET)
POISONED, MALFORMED = 4, 5
CLIENTS = range(6)

apis = pytest.mark.parametrize("api", [message, legacy], ids=["message", "legacy"])


def wrap(inner, model=NET, **options):
    """Put the plugin around a strategy; it would refuse one, and drop another."""
    shape = (3, 4) if model is NET else (1, 6, 6)
    settings = {"scoring": "paper", "num_malicious": 2, "report_only": True, **options}
    return VirtualConsistencyStrategy(
        inner, model=model, input_shape=shape, num_virtual_samples=8, **settings
    )


def sent_by(client, server_round=1):
    """Give an update; one is reversed, one is NaN."""
    update = reversed_update if client == POISONED else honest_update
    arrays = update(START, client + 10 * server_round)
    nan = np.float32(np.nan if client == MALFORMED else 1)
    return {key: values * nan for key, values in arrays.items()}


def asked_by(strategy, api, server_round=1):
    """Let it configure training and evaluation, and name the clients."""
    if api is message:
        grid = InProcessGrid({node: honest_client(node) for node in CLIENTS})
        arguments = (server_round, record_of(START), ConfigRecord(), grid)
        steps = (strategy.configure_train, strategy.configure_evaluate)
        return [
            sorted(str(m.metadata.dst_node_id) for m in step(*arguments))
            for step in steps
        ]
    manager = SimpleClientManager()
    for client in CLIENTS:
        manager.register(LegacyClient(client, honest_update))
    parameters = ndarrays_to_parameters([*START.values()])
    steps = (strategy.configure_fit, strategy.configure_evaluate)
    return [
        sorted(proxy.cid for proxy, _ in step(server_round, parameters, manager))
        for step in steps
    ]


def one_round(strategy, api, server_round=1):
    """Configure and aggregate a round; give what is sent and what comes back."""
    asked_by(strategy, api, server_round)
    updates = [sent_by(client, server_round) for client in CLIENTS]
    if api is message:
        sent = [reply(n, content(each)) for n, each in enumerate(updates)]
        return sent, strategy.aggregate_train(server_round, sent)
    sent = [
        (LegacyClient(n, honest_update), fit_result([*each.values()]))
        for n, each in enumerate(updates)
    ]
    return sent, strategy.aggregate_fit(server_round, sent, [])


def watching(api):
    """Make a strategy that keeps what it is given to aggregate."""

    class Watching(api.FedAvg):
        def __init__(self):
            super().__init__()
            self.given, self.known = [], []

        def note(self, report):
            """Learn of a round's decisions."""
            self.known.append(report)

        def aggregate_train(self, server_round, replies):
            self.given.append((replies, len(self.known)))
            return None, None

        def aggregate_fit(self, server_round, results, failures):
            self.given.append((results, len(self.known)))
            return None, {}

    return Watching()


@apis
def test_the_strategy_gets_the_very_replies(api):
    """And its metrics are not added to; the report says what would have been."""
    inner = watching(api)
    strategy = wrap(inner, on_round=inner.note, equal_weights=True)
    sent, (_, metrics) = one_round(strategy, api)
    assert inner.given[0][0] is sent
    assert not metrics
    [report] = strategy.reports
    assert report.report_only
    verdicts = [each.verdict for each in report.decisions]
    assert verdicts == ["kept"] * 4 + ["dropped", "quarantined"]


@apis
@pytest.mark.parametrize("report_only", [True, False])
def test_a_strategy_knows_who_was_dropped_before_it_aggregates(api, report_only):
    """Listeners are called first, so ``on_round`` may be a method of the strategy."""
    inner = watching(api)
    one_round(wrap(inner, on_round=inner.note, report_only=report_only), api)
    assert [num_known for _, num_known in inner.given] == [1]
    assert [each.client_id for each in inner.known[0].decisions if each.score is None]


@apis
def test_nobody_is_banned_in_fact(api, flower_log):
    """A ban is told, the client is asked all the same, and counts as banned."""
    reputation = Reputation(false_bans=0.2)
    strategy = wrap(api.FedAvg(), reputation=reputation)
    for server_round in (1, 2, 3):
        one_round(strategy, api, server_round)
    banned = {client for report in strategy.reports for client in report.bans}
    assert str(MALFORMED) in banned
    everybody = [str(client) for client in CLIENTS]
    assert asked_by(strategy, api, 4) == [everybody, everybody]
    last = {each.client_id: each.verdict for each in strategy.reports[-1].decisions}
    assert last[str(MALFORMED)] == "banned"
    assert f"Client {MALFORMED} would be banned after round" in flower_log.text
    acting = wrap(api.FedAvg(), reputation=reputation, report_only=False)
    for server_round in (1, 2, 3):
        one_round(acting, api, server_round)
    assert str(MALFORMED) not in asked_by(acting, api, 4)[0]


@apis
def test_the_log_and_the_audit_log_say_that_nothing_was_changed(
    api, flower_log, tmp_path
):
    """For the reader of either."""
    path = tmp_path / "audit.jsonl"
    one_round(wrap(api.FedAvg(), audit_log=path), api)
    assert "kept 4, dropped 1, quarantined 1; report only" in flower_log.text
    assert f"Client {MALFORMED} would be quarantined in round 1" in flower_log.text
    assert json.loads(path.read_text())["report_only"] is True


@apis
def test_a_round_that_would_be_skipped_goes_on(api, flower_log):
    """M is too large for so few."""
    inner = watching(api)
    strategy = wrap(inner, num_malicious=6)
    one_round(strategy, api)
    assert strategy.reports[0].skipped
    assert len(inner.given) == 1
    assert "Round 1 would be skipped: too few" in flower_log.text


class Broken(PaperScoring):
    """A scoring that raises."""

    name = "broken"

    def scores(self, features):
        """Fail."""
        raise ZeroDivisionError("in the scoring")


@apis
def test_a_failure_of_the_judging_is_told_once(api, flower_log):
    """With what it was; the strategy goes on, round after round."""
    inner = watching(api)
    strategy = wrap(inner, scoring=Broken())
    for server_round in (1, 2):
        one_round(strategy, api, server_round)
    assert len(inner.given) == 2
    assert flower_log.text.count("cannot be judged, and goes on as report_only") == 1


@apis
def test_another_model_is_told_once(api, flower_log):
    """Arrays that do not fit are no error, and neither is it what follows."""
    inner = watching(api)
    strategy = wrap(inner, seeded(batch_norm_cnn))
    for server_round in (1, 2):
        one_round(strategy, api, server_round)
    assert len(inner.given) == 2
    assert flower_log.text.count("ArraysMismatchError") == 1
    assert "RoundOrderError" not in flower_log.text


@apis
def test_rounds_out_of_order_are_told(api, flower_log):
    """Nothing was configured, so nothing can be judged."""
    strategy = wrap(api.FedAvg())
    if api is message:
        assert strategy.aggregate_train(1, []) == api.FedAvg().aggregate_train(1, [])
    else:
        assert strategy.aggregate_fit(1, [], []) == (None, {})
    assert flower_log.text.count("RoundOrderError") == 1


def test_secure_aggregation_goes_on(flower_log):
    """It hides the updates, which is said once."""
    inner = watching(legacy)
    shared = fit_result([*START.values()])
    results = [(LegacyClient(n, honest_update), shared) for n in CLIENTS]
    strategy = wrap(inner)
    for server_round in (1, 2):
        strategy.aggregate_fit(server_round, results, [])
    assert [given is results for given, _ in inner.given] == [True, True]
    assert flower_log.text.count("SecureAggregationError") == 1


def test_it_is_a_flag():
    """A run configuration may hold a word."""
    with pytest.raises(InvalidArgumentError, match="report_only='yes'"):
        wrap(message.FedAvg(), report_only="yes")
