"""Strategies to protect: those that Flower ships, in both of its APIs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flwr.server.strategy as legacy
import flwr.serverapp.strategy as message
from flwr.app import Message
from flwr.common import Parameters

from faults.clients import Arrays
from faults.draft import encoded
from faults.replies import TENSOR_TYPE

NUM_SUSPECTED = 2
TO_SELECT = 4
RATE = 0.1
DP = {"noise_multiplier": 0.1, "num_sampled_clients": 10}

Build = Callable[[], Any]


class OwnRecords(message.FedAvg):
    """A strategy that lets clients send records beside those that it aggregates."""

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        """Aggregate the arrays, and leave the rest alone."""
        replies = list(replies)
        for reply in replies:
            if reply.has_content():
                reply.content.pop("control", None)
        return super().aggregate_train(server_round, replies)


def message_strategies() -> Mapping[str, Build]:
    """Give the strategies of the Message API."""
    return {
        "FedAvg": message.FedAvg,
        "FedAvg, own records": OwnRecords,
        "FedAvgM": lambda: message.FedAvgM(server_momentum=0.9),
        "FedAdam": message.FedAdam,
        "FedAdagrad": message.FedAdagrad,
        "FedYogi": message.FedYogi,
        "FedProx": lambda: message.FedProx(proximal_mu=RATE),
        "FedMedian": message.FedMedian,
        "FedTrimmedAvg": message.FedTrimmedAvg,
        "Krum": lambda: message.Krum(num_malicious_nodes=NUM_SUSPECTED),
        "MultiKrum": lambda: message.MultiKrum(
            num_malicious_nodes=NUM_SUSPECTED, num_nodes_to_select=TO_SELECT
        ),
        "Bulyan": lambda: message.Bulyan(num_malicious_nodes=1),
        "QFedAvg": lambda: message.QFedAvg(client_learning_rate=RATE),
        "DP around FedAvg": lambda: message.DifferentialPrivacyServerSideFixedClipping(
            message.FedAvg(), clipping_norm=1.0, **DP
        ),
    }


def legacy_strategies(start: Arrays) -> Mapping[str, Build]:
    """Give the strategies of the legacy API, some of which want the first model."""

    def initial() -> Parameters:
        return Parameters([encoded(v) for v in start.values()], TENSOR_TYPE)

    return {
        "FedAvg": legacy.FedAvg,
        "FedAvg, not in place": lambda: legacy.FedAvg(inplace=False),
        "FedAvgM": lambda: legacy.FedAvgM(
            server_momentum=0.9, initial_parameters=initial()
        ),
        "FedAdam": lambda: legacy.FedAdam(initial_parameters=initial()),
        "FedAdagrad": lambda: legacy.FedAdagrad(initial_parameters=initial()),
        "FedYogi": lambda: legacy.FedYogi(initial_parameters=initial()),
        "FedProx": lambda: legacy.FedProx(proximal_mu=RATE),
        "FedMedian": legacy.FedMedian,
        "FedTrimmedAvg": legacy.FedTrimmedAvg,
        "FaultTolerantFedAvg": legacy.FaultTolerantFedAvg,
        "Krum": lambda: legacy.Krum(num_malicious_clients=NUM_SUSPECTED),
        "MultiKrum": lambda: legacy.Krum(
            num_malicious_clients=NUM_SUSPECTED, num_clients_to_keep=TO_SELECT
        ),
        "Bulyan": lambda: legacy.Bulyan(num_malicious_clients=1, to_keep=0),
        "QFedAvg": lambda: legacy.QFedAvg(
            evaluate_fn=lambda *_: (1.0, {}), qffl_learning_rate=RATE
        ),
        "DP around FedAvg": lambda: legacy.DifferentialPrivacyServerSideFixedClipping(
            legacy.FedAvg(), clipping_norm=1.0, **DP
        ),
    }
