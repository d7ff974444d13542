"""Rounds in which too few, too many or the wrong clients answer."""

import math

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.app import ConfigRecord, Error

from tests.benchmarks.faults.plugin import START, legacy_round
from tests.benchmarks.faults.plugin import protected as around
from tests.federation import (
    InProcessGrid,
    LegacyClient,
    configured,
    content,
    fit_result,
    honest_client,
    honest_update,
    record_of,
    reply,
    reversed_update,
)

ZEROS = {key: np.zeros_like(values) for key, values in START.items()}


def protected(inner, num_malicious=1, **settings):
    """Drop one update a round if nothing else is said."""
    return around(inner, num_malicious=num_malicious, seed=1, **settings)


def legacy_results(num_clients):
    """Give the results of honest clients."""
    return [
        (
            LegacyClient(n, honest_update),
            fit_result(list(honest_update(START, n).values())),
        )
        for n in range(num_clients)
    ]


def errors():
    """Give three clients that crashed."""
    return [reply(node, Error(0, "crashed")) for node in range(1, 4)]


@pytest.mark.parametrize("num_malicious", [0, 1, 0.3])
@pytest.mark.parametrize("replies", [list, errors], ids=["nothing", "errors"])
def test_a_round_without_answers_keeps_the_model(num_malicious, replies):
    """Whether nobody answers or all clients crashed, there is nothing to aggregate."""
    strategy = configured(protected(message.FedAvg(), num_malicious), START)
    arrays, _ = strategy.aggregate_train(1, replies())
    assert arrays is None
    assert strategy.reports[0].decisions == ()


@pytest.mark.parametrize("failures", [[], [RuntimeError("crashed")] * 3])
def test_a_legacy_round_without_answers_keeps_the_model(failures):
    """The legacy API calls crashed clients failures."""
    strategy = protected(legacy.FedAvg())
    parameters, _ = legacy_round(strategy, [], failures)
    assert parameters is None
    assert strategy.reports[0].decisions == ()


def test_an_evaluation_without_answers_gives_nothing():
    """Neither do crashed clients."""
    strategy = protected(message.FedAvg())
    assert strategy.aggregate_evaluate(1, []) is None
    assert strategy.aggregate_evaluate(1, errors()) is None


def test_the_run_goes_on_after_a_round_without_answers():
    """Flower's own loop keeps the model and asks again."""
    silent = set()

    def sometimes(client):
        answer = honest_client(client)

        def answers(body, message_type):
            if client in silent:
                return Error(0, "crashed")
            return answer(body, message_type)

        return answers

    def fall_silent(server_round, _arrays):
        silent.clear()
        if server_round == 1:
            silent.update(range(5))

    strategy = protected(message.FedAvg())
    strategy.start(
        InProcessGrid({node: sometimes(node) for node in range(5)}),
        record_of(START),
        num_rounds=3,
        evaluate_fn=fall_silent,
    )
    assert [report.num_kept for report in strategy.reports] == [4, 0, 4]


@pytest.mark.parametrize("num_malicious", [4, 5, 100])
def test_with_m_too_large_the_round_is_skipped(num_malicious, flower_log):
    """Of five updates at most three can be dropped; nothing passes unchecked."""
    strategy = configured(protected(message.FedAvg(), num_malicious), START)
    replies = [reply(n, content(honest_update(START, n))) for n in range(1, 6)]
    arrays, _ = strategy.aggregate_train(1, replies)
    assert arrays is None
    assert strategy.reports[0].skipped
    assert "lower `num_malicious`" in flower_log.text


def test_with_m_too_large_a_legacy_round_is_skipped():
    """The two APIs share the decision."""
    strategy = protected(legacy.FedAvg(), num_malicious=4)
    parameters, _ = legacy_round(strategy, legacy_results(5))
    assert parameters is None
    assert strategy.reports[0].skipped


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
def test_where_all_are_malicious_nothing_breaks(scoring):
    """Nobody is left to tell who is honest: M are dropped, and the model is finite."""
    strategy = configured(
        protected(message.FedAvg(), 2, scoring=scoring), START, num_clients=5
    )
    replies = [reply(n, content(reversed_update(START, n))) for n in range(1, 6)]
    arrays, _ = strategy.aggregate_train(1, replies)
    assert strategy.reports[0].num_dropped == 2
    assert all(np.isfinite(array.numpy()).all() for array in arrays.values())


def test_where_all_are_malformed_the_model_is_kept():
    """The strategy is not even called."""
    broken = {key: values * math.nan for key, values in START.items()}
    strategy = configured(protected(message.FedAvg()), START)
    replies = [reply(n, content(broken)) for n in range(1, 6)]
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert arrays is None
    assert metrics["vdcs-num-quarantined"] == 5


def test_a_legacy_client_that_answers_twice_counts_once():
    """Its second answer is quarantined, whatever is in it."""
    strategy = protected(legacy.FedAvg(), num_malicious=0)
    again = (LegacyClient(2, honest_update), fit_result(list(ZEROS.values())))
    legacy_round(strategy, [*legacy_results(4), again])
    *first, second = strategy.reports[0].decisions
    assert {decision.verdict for decision in first} == {"kept"}
    assert (second.verdict, second.reason) == (
        "quarantined",
        "this client has answered already",
    )


class _Failing(message.FedAvg):
    """Fails in every round but the first."""

    def aggregate_train(self, server_round, replies):
        if server_round > 1:
            raise RuntimeError("my own bug")
        return super().aggregate_train(server_round, replies)


def test_an_error_of_the_wrapped_strategy_is_its_own(tmp_path):
    """It is not hidden, and the round is reported and written down all the same."""
    log = tmp_path / "audit.jsonl"
    strategy = protected(_Failing(), audit_log=log)
    for server_round in (1, 2):
        strategy.configure_train(
            server_round,
            record_of(START),
            ConfigRecord(),
            InProcessGrid({n: honest_client(n) for n in range(2)}),
        )
        replies = [
            reply(n, content(honest_update(START, n + 10 * server_round)))
            for n in range(5)
        ]
        if server_round == 1:
            strategy.aggregate_train(server_round, replies)
    with pytest.raises(RuntimeError, match="my own bug"):
        strategy.aggregate_train(2, replies)
    assert [report.server_round for report in strategy.reports] == [1, 2]
    assert len(log.read_text().splitlines()) == 2
