"""Every strategy that Flower ships, in both APIs, and the DP wrappers around them."""

from collections.abc import Callable
from typing import Any

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
import numpy as np
from flwr.common import Parameters, ndarrays_to_parameters

DP_SETTINGS = {"noise_multiplier": 0.1, "num_sampled_clients": 7}

MESSAGE: dict[str, Callable[[], Any]] = {
    "FedAvg": message.FedAvg,
    "FedAvgM": lambda: message.FedAvgM(server_momentum=0.9),
    "FedAdam": message.FedAdam,
    "FedAdagrad": message.FedAdagrad,
    "FedYogi": message.FedYogi,
    "FedProx": lambda: message.FedProx(proximal_mu=0.1),
    "FedMedian": message.FedMedian,
    "FedTrimmedAvg": message.FedTrimmedAvg,
    "Krum": lambda: message.Krum(num_malicious_nodes=1),
    "MultiKrum": lambda: message.MultiKrum(
        num_malicious_nodes=1, num_nodes_to_select=3
    ),
    "Bulyan": lambda: message.Bulyan(num_malicious_nodes=1),
    "QFedAvg": lambda: message.QFedAvg(client_learning_rate=0.1),
}

MESSAGE_DP: dict[str, Callable[[Any], Any]] = {
    "server fixed": lambda inner: message.DifferentialPrivacyServerSideFixedClipping(
        inner, clipping_norm=1.0, **DP_SETTINGS
    ),
    "client fixed": lambda inner: message.DifferentialPrivacyClientSideFixedClipping(
        inner, clipping_norm=1.0, **DP_SETTINGS
    ),
    "server adaptive": (
        lambda inner: message.DifferentialPrivacyServerSideAdaptiveClipping(
            inner, **DP_SETTINGS
        )
    ),
    "client adaptive": (
        lambda inner: message.DifferentialPrivacyClientSideAdaptiveClipping(
            inner, **DP_SETTINGS
        )
    ),
}


def no_evaluation(
    _round: int, _arrays: list[np.ndarray], _config: dict[str, Any]
) -> tuple[float, dict[str, Any]]:
    """Give the loss that legacy QFedAvg wants from the server."""
    return 1.0, {}


def legacy_strategies(initial: list[np.ndarray]) -> dict[str, Callable[[], Any]]:
    """Give the legacy strategies, some of which want the initial parameters."""

    def start() -> Parameters:
        return ndarrays_to_parameters(initial)

    return {
        "FedAvg": legacy.FedAvg,
        "FedAvg, not in place": lambda: legacy.FedAvg(inplace=False),
        "FedAvgM": lambda: legacy.FedAvgM(
            server_momentum=0.9, initial_parameters=start()
        ),
        "FedAdam": lambda: legacy.FedAdam(initial_parameters=start()),
        "FedAdagrad": lambda: legacy.FedAdagrad(initial_parameters=start()),
        "FedYogi": lambda: legacy.FedYogi(initial_parameters=start()),
        "FedProx": lambda: legacy.FedProx(proximal_mu=0.1),
        "FedMedian": legacy.FedMedian,
        "FedTrimmedAvg": legacy.FedTrimmedAvg,
        "FaultTolerantFedAvg": legacy.FaultTolerantFedAvg,
        "Krum": lambda: legacy.Krum(num_malicious_clients=1),
        "MultiKrum": lambda: legacy.Krum(
            num_malicious_clients=1, num_clients_to_keep=3
        ),
        "Bulyan": lambda: legacy.Bulyan(num_malicious_clients=1, to_keep=0),
        "QFedAvg": lambda: legacy.QFedAvg(evaluate_fn=no_evaluation),
    }


LEGACY_DP: dict[str, Callable[[Any], Any]] = {
    "server fixed": lambda inner: legacy.DifferentialPrivacyServerSideFixedClipping(
        inner, clipping_norm=1.0, **DP_SETTINGS
    ),
    "client fixed": lambda inner: legacy.DifferentialPrivacyClientSideFixedClipping(
        inner, clipping_norm=1.0, **DP_SETTINGS
    ),
    "server adaptive": (
        lambda inner: legacy.DifferentialPrivacyServerSideAdaptiveClipping(
            inner, **DP_SETTINGS
        )
    ),
    "client adaptive": (
        lambda inner: legacy.DifferentialPrivacyClientSideAdaptiveClipping(
            inner, **DP_SETTINGS
        )
    ),
}
