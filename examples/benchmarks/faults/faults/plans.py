"""Strategies to trials: every strategy of Flower, in every setting of the plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from faults.clients import INPUT_SHAPE, Arrays, Hospitals, build_model
from faults.federations import LegacyFederation, MessageFederation
from faults.strategies import legacy_strategies, message_strategies
from faults.tally import Tally
from faults.tampering import Tampering
from faults.trial import Trial
from flwr_vdcs import VirtualConsistencyStrategy

NUM_CLIENTS = 10
NUM_ROUNDS = 5
NUM_VIRTUAL_SAMPLES = 10

SETTINGS: Sequence[Mapping[str, Any]] = (
    {"scoring": "paper", "num_malicious": 0},
    {"scoring": "paper", "num_malicious": 3},
    {"scoring": "paper", "num_malicious": 0.2, "equal_weights": True},
    {"scoring": "hardened", "num_malicious": 3},
    {"scoring": "hardened", "num_malicious": "auto"},
)

FEDERATIONS = {"message": MessageFederation, "legacy": LegacyFederation}


def run_rounds(seed: int, tally: Tally) -> Iterator[None]:
    """Run federations without end, and yield after every round.

    Each trains for five rounds, and then evaluates.

    Parameters
    ----------
    seed : int
        Decides everything that is random, but for the secret virtual samples.
    tally : Tally
        Where the outcome is counted.
    """
    hospitals = Hospitals(NUM_CLIENTS, seed)
    tampering = Tampering(np.random.default_rng(seed))
    builds = [
        *(("message", *item) for item in message_strategies().items()),
        *(("legacy", *item) for item in legacy_strategies(hospitals.start).items()),
    ]
    for number in count():
        api, name, build = builds[number % len(builds)]
        settings = SETTINGS[number // len(builds) % len(SETTINGS)]
        federation = FEDERATIONS[api](
            _protected(build, settings), range(1, NUM_CLIENTS + 1)
        )
        trial = Trial(
            api, f"{name} {settings}", federation, hospitals, tampering, tally
        )
        arrays = _first_model(hospitals, api, name)
        for server_round in range(1, NUM_ROUNDS + 1):
            arrays = trial.train(server_round, arrays)
            yield
        trial.evaluate(NUM_ROUNDS)
        yield


def _protected(build: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
    return VirtualConsistencyStrategy(
        build(),
        model=build_model(),
        input_shape=INPUT_SHAPE,
        num_virtual_samples=NUM_VIRTUAL_SAMPLES,
        device="cpu",
        **settings,
    )


def _first_model(hospitals: Hospitals, api: str, name: str) -> Arrays:
    """Leave out the counters of batches where Flower's strategy cannot take them."""
    if (api, name) != ("message", "QFedAvg"):
        return hospitals.start
    return {k: v for k, v in hospitals.start.items() if not k.endswith("tracked")}
