"""Honest replies to tampered: some clients of a round send what a mutation makes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from faults.clients import Arrays, Hospitals
from faults.draft import WEIGHT, Draft, encoded
from faults.exchanges import WHOLE, Exchange
from faults.mutations import mutate, names, possible

MAX_TAMPERED = 4
"""Of ten clients: more than half are honest."""

SHARES = (0.1, 0.1, 0.2, 0.6)
"""Of the rounds in which one, two and so on tamper."""

APIS = ("message", "legacy")
PHASES = ("train", "evaluate")
LISTS = {"message": {"recalls": [0.5] * 10}, "legacy": {}}
ERROR = "an error"


class Situation(NamedTuple):
    """In which of Flower's APIs a round is, what travels, and how it is judged."""

    api: str
    travels: str = ""
    setting: str = ""


class Kind(NamedTuple):
    """What a reply went through, and in which situation."""

    api: str
    phase: str
    mutation: str
    travels: str = ""
    setting: str = ""


class Scene(NamedTuple):
    """A situation, whether it trains or evaluates, and the round in words."""

    situation: Situation
    phase: str
    where: str = ""


@dataclass(frozen=True)
class Liars:
    """Who tampers, in one round or another.

    Parameters
    ----------
    clients : tuple of int
        All of them.
    broken : frozenset of int
        Those of them that only ever answer with errors.
    """

    clients: tuple[int, ...]
    broken: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Round:
    """What the server gets in a round.

    Parameters
    ----------
    where : str
        The round, in words.
    replies : Sequence[Draft]
        In the order in which they come.
    kinds : Mapping[str, Kind]
        What the replies of tampered clients went through, by client id.
    liars : Collection of str
        The ids of all clients that tamper in one round or another.
    """

    where: str
    replies: Sequence[Draft]
    kinds: Mapping[str, Kind]
    liars: Collection[str] = ()


class Tampering:
    """Draws who tampers and how; each mutation has its turn before any comes again.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._decks = {
            (api, phase): self._deck(api, phase) for api in APIS for phase in PHASES
        }

    def choose(self, num_clients: int) -> tuple[int, ...]:
        """Draw who will tamper in the rounds to come."""
        chosen = self._rng.permutation(num_clients)[:MAX_TAMPERED] + 1
        return tuple(chosen.tolist())

    def tamper(self, scene: Scene, honest: Sequence[Draft], liars: Liars) -> Round:
        """Mutate the replies of one or more of the liars, and shuffle them all."""
        situation, phase, where = scene.situation, scene.phase, scene.where
        num_tampered = self._rng.choice(MAX_TAMPERED, p=SHARES) + 1
        drawn = self._rng.permutation(liars.clients)[:num_tampered]
        tampered = {*drawn.tolist(), *liars.broken}
        api, kinds, drafts = situation.api, {}, []
        for draft in honest:
            if draft.client in tampered:
                is_broken = draft.client in liars.broken
                name = ERROR if is_broken else next(self._decks[api, phase])
                draft = mutate(draft, name, possible(api, phase), self._rng)
                kinds[str(draft.client)] = _kind(situation, phase, name)
            drafts.append(draft)
        shuffled = [drafts[place] for place in self._rng.permutation(len(drafts))]
        return Round(where, [*repeated(shuffled)], kinds, {*map(str, liars.clients)})

    def _deck(self, api: str, phase: str) -> Iterator[str]:
        while True:
            yield from self._rng.permutation(names(possible(api, phase))).tolist()


def _kind(situation: Situation, phase: str, mutation: str) -> Kind:
    return Kind(situation.api, phase, mutation, situation.travels, situation.setting)


def repeated(drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Repeat those that are sent more than once, at the end."""
    yield from drafts
    for draft in drafts:
        yield from [draft] * (draft.num_copies - 1)


def honest_drafts(
    api: str, hospitals: Hospitals, arrays: Arrays, exchange: Exchange = WHOLE
) -> list[Draft]:
    """Let all clients answer honestly; without arrays, an evaluation."""
    return [
        Draft(
            client=client + 1,
            arrays=_encoded(
                exchange.of_client(arrays, hospitals.answer(client, arrays))
            ),
            metrics={
                WEIGHT: 100 + client,
                "train_loss": 0.5 + client / 100,
                "accuracy": 0.9,
                **LISTS[api],
            },
            array_records=exchange.array_records if arrays else (),
        )
        for client in range(hospitals.num_clients)
    ]


def _encoded(arrays: Arrays) -> dict[str, bytes]:
    return {key: encoded(values) for key, values in arrays.items()}
