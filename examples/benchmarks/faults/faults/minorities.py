"""A minority that answers with rubbish in every round, to counts of what goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faults.clients import Arrays, accuracy, arrays_of, num_digits, train
from faults.draft import WEIGHT, Draft, encoded
from faults.federations import LegacyFederation, MessageFederation
from faults.models import INPUT_SHAPE, build_model
from faults.strategies import legacy_strategies, message_strategies
from flwr_vdcs import Reputation, VirtualConsistencyStrategy

FEDERATIONS = {"message": MessageFederation, "legacy": LegacyFederation}
NAN, ERRORS = "NaN", "errors"
PLAIN, PRIVATE = "FedAvg", "DP around FedAvg"
"""The second aggregates no round in which a client has answered with an error."""

NUM_VIRTUAL_SAMPLES = 10
NUM_DIGITS = 360
"""What all clients together train on."""

EVEN = 2
"""In the legacy API Flower does not say whose the errors of the others are."""


@dataclass(frozen=True)
class Case:
    """Who takes part, and how the plugin is set.

    Parameters
    ----------
    api : str
        ``"message"`` or ``"legacy"``.
    strategy : str
        The one inside.
    num_clients, num_liars : int
        All, and those that answer with rubbish.
    sends : str
        What they answer: `NAN` or `ERRORS`.
    num_malicious : int or str
        What the plugin is told.
    has_reputation : bool
        Whether clients are banned, and rest after errors.
    """

    api: str
    strategy: str
    num_clients: int
    num_liars: int
    sends: str
    num_malicious: int | str
    has_reputation: bool = True

    @property
    def liars(self) -> set[int]:
        """Who sends rubbish: every other client, so far as there are."""
        return {EVEN * number for number in range(1, self.num_liars + 1)}


MINORITIES = [
    Case(api, PLAIN, 2 * liars + 1, liars, NAN, num_malicious)
    for api in FEDERATIONS
    for liars in (1, 2, 3)
    for num_malicious in (liars, "auto")
]

BROKEN = [
    Case(api, PRIVATE, 5, 1, ERRORS, "auto", has_reputation)
    for api in FEDERATIONS
    for has_reputation in (False, True)
]


@dataclass(frozen=True)
class Count:
    """What came of all rounds of a case.

    Parameters
    ----------
    rounds, trained : int
        How many there were, and after how many there was a new model.
    banned_after : int
        The first round after which all liars were banned; 0 if there was none.
    liars_banned, honest_banned : int
        How many bans there were of each.
    liars_asked : int
        How often a liar was asked.
    accuracy : float
        The last model's, on all digits.
    """

    rounds: int
    trained: int
    banned_after: int
    liars_banned: int
    honest_banned: int
    liars_asked: int
    accuracy: float


def count(case: Case, num_rounds: int, seed: int = 0) -> Count:
    """Run the rounds of a case."""
    federation = _federation(case)
    arrays: Arrays = arrays_of(build_model(seed))
    trained = liars_asked = 0
    for server_round in range(1, num_rounds + 1):
        asked = federation.configure(server_round, arrays)
        drafts = list(_answers(case, asked, arrays, server_round))
        found = federation.train(server_round, drafts)
        trained += found is not None
        liars_asked += len(asked & case.liars)
        arrays = arrays if found is None else found
    bans = [[int(each) for each in r.bans] for r in federation.strategy.reports]
    banned = [client for each in bans for client in each]
    return Count(
        num_rounds,
        trained,
        _all_banned_after(bans, case.liars),
        sum(client in case.liars for client in banned),
        sum(client not in case.liars for client in banned),
        liars_asked,
        accuracy(arrays, np.arange(num_digits())),
    )


def _federation(case: Case) -> Any:
    start = arrays_of(build_model())
    kinds = message_strategies() if case.api == "message" else legacy_strategies(start)
    strategy = VirtualConsistencyStrategy(
        kinds[case.strategy](),
        model=build_model(),
        input_shape=INPUT_SHAPE,
        num_virtual_samples=NUM_VIRTUAL_SAMPLES,
        num_malicious=case.num_malicious,
        reputation=Reputation() if case.has_reputation else None,
        device="cpu",
    )
    return FEDERATIONS[case.api](strategy, range(1, case.num_clients + 1))


def _answers(
    case: Case, asked: set[int], arrays: Arrays, server_round: int
) -> Iterator[Draft]:
    """Train with the clients' own digits, anew in every round."""
    for client in sorted(asked):
        rows = _parts(case.num_clients)[client - 1]
        is_liar = client in case.liars
        trained = train(arrays, rows, seed=server_round)
        sent = {k: _ruined(v) if is_liar else v for k, v in trained.items()}
        metrics = {WEIGHT: len(rows), "train_loss": 0.5}
        data = {key: encoded(values) for key, values in sent.items()}
        is_error = is_liar and case.sends == ERRORS
        yield Draft(client, data, metrics, is_error=is_error)


def _ruined(values: NDArray[Any]) -> NDArray[Any]:
    return np.full_like(values, np.nan) if values.dtype.kind == "f" else values


@cache
def _parts(num_clients: int) -> list[NDArray[np.integer[Any]]]:
    rows = np.random.default_rng(0).permutation(num_digits())[:NUM_DIGITS]
    return np.array_split(rows, num_clients)


def _all_banned_after(bans: list[list[int]], liars: set[int]) -> int:
    seen: set[int] = set()
    for server_round, clients in enumerate(bans, start=1):
        seen.update(clients)
        if liars <= seen:
            return server_round
    return 0
