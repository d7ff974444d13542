"""With ``report_only=True`` a run is what it is without the plugin, bit for bit.

Every strategy that Flower ships is run alone and wrapped, in both APIs, through all
ways in which one client's or all clients' answers are malformed: models, metrics,
dtypes and exceptions are the same.
"""

import logging
import random
from collections.abc import Callable, Iterable
from typing import Any

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
import pytest
from flwr.common import ndarrays_to_parameters

from flwr_vdcs import VirtualConsistencyStrategy
from tests.federation import (
    InProcessGrid,
    LegacyClient,
    arrays_of,
    fit_result,
    honest_client,
    honest_update,
    record_of,
    seeded,
)
from tests.flower.malformed import (
    LEGACY_KINDS,
    MESSAGE_KINDS,
    malformed,
    malformed_result,
)
from tests.models import mlp
from tests.strategies import LEGACY_DP, MESSAGE, MESSAGE_DP, legacy_strategies

NET = seeded(mlp)
START = arrays_of(NET)
CLIENTS = range(1, 8)
NUM_ROUNDS = 2

MESSAGE_ALL: dict[str, Callable[[], Any]] = MESSAGE | {
    f"DP, {name}": lambda private=private: private(message.FedAvg())
    for name, private in MESSAGE_DP.items()
}
LEGACY_ALL: dict[str, Callable[[], Any]] = legacy_strategies([*START.values()]) | {
    f"DP, {name}": lambda private=private: private(legacy.FedAvg())
    for name, private in LEGACY_DP.items()
}

crowds = pytest.mark.parametrize("liars", [(3,), CLIENTS], ids=["one", "all"])


@pytest.fixture
def silent():
    """Keep Flower from writing pages of the same lines."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def watched(inner: Any) -> VirtualConsistencyStrategy:
    """Wrap a strategy in a plugin that would drop two, weigh all alike and clip."""
    return VirtualConsistencyStrategy(
        inner,
        model=NET,
        input_shape=(3, 4),
        num_malicious=2,
        num_virtual_samples=2,
        equal_weights=True,
        report_only=True,
        seed=0,
    )


def outcome(run: Callable[[], Any]) -> str:
    """Give what a run returns, or what it raises, with the same numbers drawn."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # Flower's DP draws from the global generator
    try:
        with np.errstate(all="ignore"):
            return repr(run())
    except Exception as error:  # noqa: BLE001  # whatever it is, it is to be the same
        return repr(error)


def lying_client(kind: str, node: int, liars: Any) -> Any:
    """Answer to training as told, and honestly to an evaluation."""
    honest = honest_client(node)

    def answer(body, message_type):
        answered = honest(body, message_type)
        if node not in liars or message_type != "train":
            return answered
        return malformed(kind, answered)

    return answer


def message_run(strategy: Any, kind: str, liars: Any) -> Any:
    """Let Flower's own loop run, and give all that it returns."""
    grid = InProcessGrid({node: lying_client(kind, node, liars) for node in CLIENTS})
    result = strategy.start(grid, record_of(START), NUM_ROUNDS)
    arrays = [(k, a.dtype, a.shape, a.data) for k, a in result.arrays.items()]
    metrics = (result.train_metrics_clientapp, result.evaluate_metrics_clientapp)
    return arrays, *({n: dict(m) for n, m in each.items()} for each in metrics)


def legacy_run(strategy: Any, kind: str, liars: Any) -> Any:
    """Configure and aggregate rounds of the legacy API, with a failure in each."""
    parameters = ndarrays_to_parameters([*START.values()])
    if hasattr(strategy, "pre_weights"):
        strategy.evaluate(0, parameters)
    clients = [LegacyClient(node, honest_update) for node in CLIENTS]
    for server_round in range(1, NUM_ROUNDS + 1):
        strategy.configure_fit(server_round, parameters, _Manager(clients))
        results = []
        for client in clients:
            named = dict(enumerate(START.values()))
            values = honest_update(named, 10 * client.client + server_round).values()
            metrics = {"norm_bit": bool(client.client % 2)}
            result = fit_result([*values], 10 + client.client, metrics)
            if client.client in liars:
                result = malformed_result(kind, result, client.client)
            results.append((client, result))
        found = strategy.aggregate_fit(server_round, results, [RuntimeError("late")])
        parameters = found[0] or parameters
    return found


class _Manager:
    """Have all clients in a fixed order."""

    def __init__(self, clients: list[LegacyClient]) -> None:
        self.clients = clients

    def num_available(self) -> int:
        """Count them."""
        return len(self.clients)

    def sample(self, *_: Any, **__: Any) -> list[LegacyClient]:
        """Give them."""
        return self.clients


def some(kinds: tuple[str, ...], names: Iterable[str], name: str) -> tuple[str, ...]:
    """Give every third kind, so that each meets many strategies; FedAvg gets all."""
    return kinds if name == "FedAvg" else kinds[[*names].index(name) % 3 :: 3]


@crowds
@pytest.mark.parametrize("name", MESSAGE_ALL)
def test_a_message_run_is_what_it_is_alone(name, liars, silent):
    """Whatever is sent; and what the strategy raises, it raises."""
    for kind in some(MESSAGE_KINDS, MESSAGE_ALL, name):
        alone, wrapped = (
            outcome(lambda s=strategy, k=kind: message_run(s, k, liars))
            for strategy in (MESSAGE_ALL[name](), watched(MESSAGE_ALL[name]()))
        )
        assert wrapped == alone, kind


@crowds
@pytest.mark.parametrize("name", LEGACY_ALL)
def test_a_legacy_run_is_what_it_is_alone(name, liars, silent):
    """Whatever is sent; and what the strategy raises, it raises."""
    for kind in some(LEGACY_KINDS, LEGACY_ALL, name):
        alone, wrapped = (
            outcome(lambda s=strategy, k=kind: legacy_run(s, k, liars))
            for strategy in (LEGACY_ALL[name](), watched(LEGACY_ALL[name]()))
        )
        assert wrapped == alone, kind


def test_the_runs_that_are_compared_differ(silent):
    """One malformed answer ends some runs, changes others, and is no matter to some."""
    runs = [
        outcome(lambda k=kind: message_run(message.FedAvg(), k, (3,)))
        for kind in MESSAGE_KINDS
    ]
    ended = [run for run in runs if not run.startswith("(")]
    assert 5 < len(ended) < len(runs)
    assert len(set(runs)) > 10
