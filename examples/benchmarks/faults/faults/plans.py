"""Strategies to trials: every strategy of Flower, in every setting of the plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from faults.clients import Arrays, Hospitals
from faults.exchanges import COUNTERS, EXCHANGES, Exchange
from faults.federations import LegacyFederation, MessageFederation
from faults.models import INPUT_SHAPE, Build, build_complex_model, build_model
from faults.strategies import legacy_strategies, message_strategies
from faults.tally import Tally
from faults.tampering import Liars, Situation, Tampering
from faults.trial import Trial
from flwr_vdcs import Reputation, VirtualConsistencyStrategy

NUM_CLIENTS = 10
NUM_ROUNDS = 8
NUM_VIRTUAL_SAMPLES = 10
PAROLE = 3
"""Short, so that who is banned comes back within a trial."""

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "paper, M = 0": {"scoring": "paper", "num_malicious": 0},
    "paper, M = 3": {"scoring": "paper", "num_malicious": 3},
    "paper, M = 20 %, equal weights": {
        "scoring": "paper",
        "num_malicious": 0.2,
        "equal_weights": True,
    },
    "hardened, M = 0": {"num_malicious": 0},
    "hardened, M = 3": {"num_malicious": 3},
    "hardened, auto": {},
    "hardened, auto, quorum": {"quorum": 0.8},
    "hardened, auto, reputation": {"reputation": Reputation(parole=PAROLE)},
    "paper, M = 3, report only": {
        "scoring": "paper",
        "num_malicious": 3,
        "report_only": True,
    },
    "hardened, auto, all, report only": {
        "report_only": True,
        "quorum": 0.8,
        "reputation": Reputation(parole=PAROLE),
    },
}

MORE_ROUNDS = {"reputation": 12}
"""With bans it takes longer until there are any."""

FEDERATIONS = {"message": MessageFederation, "legacy": LegacyFederation}


@dataclass(frozen=True)
class Plan:
    """One trial to be made.

    Parameters
    ----------
    api, strategy, travels, setting : str
        By name.
    """

    api: str
    strategy: str
    travels: str
    setting: str

    @property
    def exchange(self) -> Exchange:
        """What travels."""
        return EXCHANGES[self.travels]

    @property
    def options(self) -> Mapping[str, Any]:
        """How the plugin is set."""
        return SETTINGS[self.setting]

    def trial(self, hospitals: Hospitals, tampering: Tampering, tally: Tally) -> Trial:
        """Build the federation, and see who tampers."""
        build = strategies(self.api, self.first_model(hospitals))[self.strategy]
        chosen = tampering.choose(NUM_CLIENTS)
        broken = chosen[:1] if "reputation" in self.options else ()
        is_alone_too = self.options.get("report_only", False)
        return Trial(
            Situation(self.api, self.travels, self.setting),
            self.strategy,
            self._federation(_protected(build, self.exchange.build, self.options)),
            hospitals,
            tampering,
            tally,
            Liars(chosen, frozenset(broken)),
            exchange=self.exchange,
            alone=self._federation(build()) if is_alone_too else None,
        )

    def first_model(self, hospitals: Hospitals) -> Arrays:
        """Leave out counters of batches where Flower's strategy cannot take them."""
        arrays = self.exchange.of_server(hospitals.start)
        if (self.api, self.strategy) != ("message", "QFedAvg"):
            return arrays
        return {k: v for k, v in arrays.items() if not k.endswith(COUNTERS)}

    @property
    def num_rounds(self) -> int:
        """For how many rounds to train."""
        found = [MORE_ROUNDS[name] for name in self.options if name in MORE_ROUNDS]
        return max(found, default=NUM_ROUNDS)

    def _federation(self, strategy: Any) -> Any:
        return FEDERATIONS[self.api](strategy, range(1, NUM_CLIENTS + 1))


def run_rounds(seed: int, tally: Tally) -> Iterator[None]:
    """Run federations without end, and yield after every round.

    Each trains for some rounds, and then evaluates.

    Parameters
    ----------
    seed : int
        Decides everything that is random, but for the secret virtual samples.
    tally : Tally
        Where the outcome is counted.
    """
    rng = np.random.default_rng(seed)
    tampering, everything = Tampering(rng), all_plans()
    training = cache(lambda build: Hospitals(NUM_CLIENTS, seed, build))
    while True:
        for place in rng.permutation(len(everything)):
            plan = everything[place]
            hospitals = training(_trained(plan.exchange.build))
            trial = plan.trial(hospitals, tampering, tally)
            arrays = plan.first_model(hospitals)
            for server_round in range(1, plan.num_rounds + 1):
                arrays = trial.train(server_round, arrays)
                yield
            trial.evaluate(plan.num_rounds)
            yield


def all_plans() -> Sequence[Plan]:
    """Combine each strategy with all that it can aggregate, in every setting."""
    return [
        Plan(api, strategy, travels, setting)
        for api in FEDERATIONS
        for strategy, travels, setting in product(
            strategies(api, {}), EXCHANGES, SETTINGS
        )
        if EXCHANGES[travels].fits(strategy)
    ]


def strategies(api: str, start: Arrays) -> Mapping[str, Callable[[], Any]]:
    """Give the strategies of an API by name, with the model that they start from."""
    return message_strategies() if api == "message" else legacy_strategies(start)


def _trained(build: Build) -> Build:
    """Give the model that clients train, in single precision."""
    return build if build is build_complex_model else build_model


def _protected(
    build: Callable[[], Any], model: Build, options: Mapping[str, Any]
) -> Any:
    return VirtualConsistencyStrategy(
        build(),
        model=model(0),
        input_shape=INPUT_SHAPE,
        num_virtual_samples=NUM_VIRTUAL_SAMPLES,
        device="cpu",
        **options,
    )
