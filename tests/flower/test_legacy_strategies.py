"""Strategies of people's own in the legacy API: None, statistics, metrics."""

import flwr.server.strategy as flower
import numpy as np
import pytest
from flwr.common import Code, EvaluateRes, Status, ndarrays_to_parameters
from flwr.server import Server
from flwr.server.client_manager import SimpleClientManager

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    LegacyClient,
    arrays_of,
    fit_result,
    honest_update,
    legacy_configured,
    reversed_update,
    seeded,
)
from tests.models import mlp
from tests.strategies import LEGACY_DP

NET = seeded(mlp)
START = arrays_of(NET)


def wrap(inner, **options):
    """Put the plugin around a strategy."""
    settings = {"scoring": "paper", "num_malicious": 0, "seed": 1, **options}
    return VirtualConsistencyStrategy(
        inner, model=NET, input_shape=(3, 4), num_virtual_samples=8, **settings
    )


def results_of(metrics, num_clients=5, arrays=None):
    """Make results with metrics by client."""
    return [
        (
            LegacyClient(n, honest_update),
            fit_result(
                [*honest_update(START, n).values()] if arrays is None else arrays,
                metrics=metrics(n),
            ),
        )
        for n in range(num_clients)
    ]


def own(client):
    """Name a metric after the client."""
    return {f"loss of {client}": 0.5}


def verdicts(strategy, results):
    """Aggregate a round, and give the verdicts."""
    legacy_configured(strategy, START).aggregate_fit(1, results, [])
    return [each.verdict for each in strategy.reports[-1].decisions]


class Nobody(flower.FedAvg):
    """A strategy that asks nobody."""

    def configure_fit(self, *_, **__):
        """Give None, as Flower's server accepts."""
        return

    def configure_evaluate(self, *_, **__):
        """Give None, as Flower's server accepts."""
        return


@pytest.mark.parametrize("report_only", [True, False])
def test_flowers_server_accepts_a_strategy_that_asks_nobody(report_only):
    """Rounds without anybody are no rounds, wrapped or not."""
    start = ndarrays_to_parameters([*START.values()])
    inner = Nobody(initial_parameters=start)
    strategy = wrap(inner, num_malicious=1, report_only=report_only)
    server = Server(client_manager=SimpleClientManager(), strategy=strategy)
    server.fit(num_rounds=2, timeout=None)
    assert server.parameters is start
    assert strategy.reports == []


def test_metrics_that_nobody_reads_are_the_clients_own():
    """Without an aggregation function Flower never looks at them."""
    odd, *_ = results_of(own)
    results = [odd, *results_of(lambda _: {"loss": 1.0})[1:]]
    assert verdicts(wrap(flower.FedAvg()), results) == ["kept"] * 5


@pytest.mark.parametrize(
    "inner",
    [
        flower.FedAvg(fit_metrics_aggregation_fn=lambda _: {}),
        LEGACY_DP["client adaptive"](flower.FedAvg()),
    ],
)
def test_metrics_that_are_read_are_those_of_most(inner):
    """One of five has others; where each has its own, none is usual."""
    odd, *_ = results_of(own)
    most = results_of(lambda _: {"loss": 1.0, "norm_bit": True})[1:]
    assert verdicts(wrap(inner), [odd, *most]) == ["quarantined", *["kept"] * 4]
    each = results_of(lambda n: {**own(n), "norm_bit": True})
    assert verdicts(wrap(inner), each) == ["kept"] * 5


def test_an_evaluation_without_a_function_reads_no_metrics():
    """Neither does ours."""
    results = [
        (LegacyClient(n, honest_update), EvaluateRes(Status(Code.OK, ""), 0.5, 10, m))
        for n, m in enumerate([own(0), {"accuracy": 1.0}, {"accuracy": 0.5}])
    ]
    plain, read = (
        wrap(flower.FedAvg(evaluate_metrics_aggregation_fn=function))
        for function in (None, lambda _: {})
    )
    for strategy in (plain, read):
        strategy.aggregate_evaluate(1, results, [])
    assert plain.evaluation_reports == []
    assert read.evaluation_reports[0].num_quarantined == 1


def test_a_round_of_statistics_goes_on_unjudged():
    """A strategy of one's own may ask for numbers only; Flower's own cannot."""

    class Statistics(flower.FedAvg):
        def aggregate_fit(self, server_round, results, failures):
            return None, {"mean": np.mean([r.metrics["mean"] for _, r in results])}

    results = results_of(lambda n: {"mean": float(n)}, arrays=[])
    strategy = legacy_configured(wrap(Statistics(), num_malicious=1), START)
    assert strategy.aggregate_fit(1, results, []) == (None, {"mean": 2.0})
    assert strategy.reports == []


def test_wrapped_under_any_name_a_quorum_holds():
    """Bulyan raises below 4f + 3 results, wherever it is."""

    class Around(flower.FedAvg):
        def __init__(self):
            super().__init__()
            self.robust = flower.Bulyan(num_malicious_clients=1, to_keep=0)

        def aggregate_fit(self, *arguments):
            return self.robust.aggregate_fit(*arguments)

    strategy = legacy_configured(wrap(Around(), num_malicious=1), START)
    results = results_of(lambda _: {}, 7)
    poisoned = [*reversed_update(START, 0).values()]
    results[0] = (results[0][0], fit_result(poisoned))
    assert strategy.aggregate_fit(1, results, [])[0] is None
    assert strategy.reports[0].num_kept == 6
