"""Whole rounds of the legacy API, with Flower's own strategies and server loop."""

import flwr.server.strategy as flower
import numpy as np
import pytest
from flwr.common import Parameters, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import Server
from flwr.server.client_manager import SimpleClientManager

from flwr_vdcs import VirtualConsistencyStrategy
from flwr_vdcs.errors import RoundOrderError, SecureAggregationError
from tests.federation import (
    LegacyClient,
    arrays_of,
    fit_result,
    honest_update,
    reversed_update,
    seeded,
)
from tests.models import batch_norm_cnn, mlp
from tests.strategies import LEGACY_DP, legacy_strategies

NET = seeded(batch_norm_cnn)
MLP = seeded(mlp)


def values_of(model):
    """Give a model's state without names."""
    return list(arrays_of(model).values())


def wrap(inner, model=NET, **options):
    """Put the plugin around a strategy."""
    shape = (1, 6, 6) if model is NET else (3, 4)
    settings = {
        "scoring": "paper",
        "num_malicious": 0,
        "num_virtual_samples": 8,
        "seed": 1,
        **options,
    }
    return VirtualConsistencyStrategy(inner, model=model, input_shape=shape, **settings)


def managed(updates):
    """Register one client for each way to update."""
    manager = SimpleClientManager()
    for client, update in enumerate(updates):
        manager.register(LegacyClient(client, update))
    return manager


def run(strategy, model=NET, updates=(honest_update,) * 7, num_rounds=2):
    """Configure and aggregate rounds, with the results in a fixed order."""
    np.random.seed(0)  # noqa: NPY002  # Flower's DP draws from the global generator
    manager = managed(updates)
    start = strategy.initialize_parameters(manager)
    parameters = start or ndarrays_to_parameters(values_of(model))
    if start is not None or hasattr(strategy, "pre_weights"):
        strategy.evaluate(0, parameters)
    for server_round in range(1, num_rounds + 1):
        asked = strategy.configure_fit(server_round, parameters, manager)
        asked = sorted(asked, key=lambda pair: pair[0].cid)
        results = [(client, client.fit(ins)) for client, ins in asked]
        for client, result in results:
            result.metrics["norm_bit"] = client.client % 2 == 0
        aggregate, metrics = strategy.aggregate_fit(server_round, results, [])
        parameters = aggregate or parameters
    return parameters, metrics


def same(left: Parameters, right: Parameters) -> bool:
    """Tell whether two models are equal bit for bit."""
    return left.tensors == right.tensors


@pytest.mark.parametrize("scoring", ["paper", "hardened"])
@pytest.mark.parametrize("name", legacy_strategies([]))
def test_dropping_nobody_changes_nothing(name, scoring):
    """With num_malicious=0 every strategy gives what it gives alone, bit for bit."""
    model = MLP if "Adam" in name or name in {"FedYogi", "FedAdagrad"} else NET
    make = legacy_strategies(values_of(model))[name]
    alone, alone_metrics = run(make(), model)
    wrapped, metrics = run(wrap(make(), model, scoring=scoring), model)
    assert same(wrapped, alone)
    counts = {"vdcs-num-kept": 7, "vdcs-num-dropped": 0, "vdcs-num-quarantined": 0}
    assert metrics == {**alone_metrics, **counts}


@pytest.mark.parametrize("name", LEGACY_DP)
@pytest.mark.parametrize("outside", [True, False], ids=["DP(ours)", "ours(DP)"])
def test_differential_privacy_works_inside_and_outside(name, outside):
    """The DP wrappers go around the plugin and the plugin around them, bit for bit."""
    private = LEGACY_DP[name]
    alone, _ = run(private(flower.FedAvg()))
    inner = flower.FedAvg()
    wrapped, _ = run(private(wrap(inner)) if outside else wrap(private(inner)))
    assert same(wrapped, alone)


def test_poisoned_updates_are_dropped_and_the_rest_averaged():
    """Two reversed updates of seven score lowest; FedAvg averages the other five."""
    honest, poisoned = honest_update, reversed_update
    strategy = wrap(flower.FedAvg(), num_malicious=2)
    updates = (honest, poisoned, honest, honest, poisoned, honest, honest)
    found, metrics = run(strategy, updates=updates, num_rounds=1)
    start = dict(enumerate(values_of(NET)))
    kept = [
        (LegacyClient(n, honest), fit_result(list(honest(start, n).values())))
        for n in (0, 2, 3, 5, 6)
    ]
    assert same(found, flower.FedAvg().aggregate_fit(1, kept, [])[0])
    verdicts = {d.client_id: d.verdict for d in strategy.reports[0].decisions}
    assert [c for c, v in verdicts.items() if v == "dropped"] == ["1", "4"]
    assert metrics["vdcs-num-dropped"] == 2


def test_flowers_own_server_runs_it():
    """Flower's legacy server loop trains, evaluates and drops the poisoned client."""
    updates = (*[honest_update] * 4, reversed_update)
    strategy = wrap(
        flower.FedAvg(
            initial_parameters=ndarrays_to_parameters(values_of(NET)),
            evaluate_fn=lambda *_: (0.5, {}),
        ),
        num_malicious=1,
    )
    server = Server(client_manager=managed(updates), strategy=strategy)
    history, _ = server.fit(num_rounds=2, timeout=None)
    assert [loss for _, loss in history.losses_distributed] == [1.0, 1.0]
    assert [loss for _, loss in history.losses_centralized] == [0.5] * 3
    assert history.metrics_distributed_fit["vdcs-num-dropped"] == [(1, 1), (2, 1)]


def test_parameters_alone_are_accepted():
    """Clients that send parameters without buffers are scored all the same."""
    start = [p.detach().numpy() for p in NET.parameters()]
    strategy = wrap(flower.FedAvg(), num_malicious=1)
    manager = managed([honest_update] * 3)
    strategy.configure_fit(1, ndarrays_to_parameters(start), manager)
    named = dict(enumerate(start))
    updates = [honest_update(named, n) for n in range(3)] + [reversed_update(named, 3)]
    results = [
        (LegacyClient(n, honest_update), fit_result(list(update.values())))
        for n, update in enumerate(updates)
    ]
    strategy.aggregate_fit(1, results, [])
    assert [d.verdict for d in strategy.reports[0].decisions][-1] == "dropped"


def test_dtypes_are_mended():
    """A result in float64 arrives as float32."""
    seen = []

    class Recording(flower.FedAvg):
        def aggregate_fit(self, server_round, results, failures):
            seen.extend(results)
            return super().aggregate_fit(server_round, results, failures)

    def wide(arrays, client):
        honest = honest_update(arrays, client)
        return {k: v.astype(np.float64) for k, v in honest.items()}

    run(wrap(Recording()), updates=(honest_update, wide), num_rounds=1)
    for _, result in seen:
        dtypes = [a.dtype for a in parameters_to_ndarrays(result.parameters)]
        assert dtypes == [a.dtype for a in values_of(NET)]


def test_equal_weights_average_without_weights():
    """Eq. 20: the wrapped strategy sees one example for everyone."""
    seen = []

    class Recording(flower.FedAvg):
        def aggregate_fit(self, server_round, results, failures):
            seen.extend(result.num_examples for _, result in results)
            return super().aggregate_fit(server_round, results, failures)

    run(wrap(Recording(), equal_weights=True), num_rounds=1)
    assert seen == [1] * 7


def test_failures_are_forwarded():
    """Genuine failures reach the wrapped strategy, which may refuse them."""
    strategy = wrap(flower.FedAvg(accept_failures=False))
    parameters = ndarrays_to_parameters(values_of(NET))
    strategy.configure_fit(1, parameters, managed([honest_update] * 2))
    result = (LegacyClient(1, honest_update), fit_result(values_of(NET)))
    assert strategy.aggregate_fit(1, [result] * 1, [RuntimeError()])[0] is None


def test_too_few_results_skip_the_round():
    """Two results with one to drop decide nothing, and the model is kept."""
    strategy = wrap(flower.FedAvg(), num_malicious=1)
    _, metrics = run(strategy, updates=(honest_update,) * 2, num_rounds=1)
    assert strategy.reports[0].skipped
    assert metrics["vdcs-num-kept"] == 0


def test_aggregating_before_configuring_is_an_error():
    """Updates cannot be judged without the model they started from."""
    result = (LegacyClient(1, honest_update), fit_result(values_of(NET)))
    with pytest.raises(RoundOrderError, match="configure_fit"):
        wrap(flower.FedAvg()).aggregate_fit(1, [result], [])


def secure_results():
    """Hand every client the same parameters object, as secure aggregation does."""
    shared = fit_result(values_of(NET))
    return [(LegacyClient(n, honest_update), shared) for n in range(3)]


def test_secure_aggregation_is_an_error_if_clients_are_to_be_dropped():
    """Nobody can be judged, and the error says what to do."""
    with pytest.raises(SecureAggregationError, match=r"SecAgg\+.*num_malicious=0"):
        wrap(flower.FedAvg(), num_malicious=1).aggregate_fit(1, secure_results(), [])


def test_secure_aggregation_passes_through_a_dry_run(flower_log):
    """With nobody to drop it goes on, and says once that nobody is scored."""
    strategy = wrap(flower.FedAvg())
    alone, _ = flower.FedAvg().aggregate_fit(1, secure_results(), [])
    for server_round in (1, 2):
        found, _ = strategy.aggregate_fit(server_round, secure_results(), [])
        assert same(found, alone)
    assert flower_log.text.count("Secure aggregation hides") == 1
