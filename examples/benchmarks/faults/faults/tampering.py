"""Honest replies to tampered: some clients of a round send what a mutation makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from faults.clients import Arrays, Hospitals
from faults.draft import WEIGHT, Draft, encoded
from faults.mutations import mutate, names, possible

Kind = tuple[str, str, str]
"""API, phase and mutation."""

MAX_TAMPERED = 4
"""Of ten clients: more than half are honest."""

APIS = ("message", "legacy")
PHASES = ("train", "evaluate")
LISTS = {"message": {"recalls": [0.5] * 10}, "legacy": {}}


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
    """

    where: str
    replies: Sequence[Draft]
    kinds: Mapping[str, Kind]


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

    def tamper(
        self, api: str, phase: str, where: str, honest: Sequence[Draft]
    ) -> Round:
        """Mutate one to four of the replies, and shuffle them all."""
        num_tampered = self._rng.integers(1, MAX_TAMPERED + 1)
        tampered = self._rng.choice(len(honest), num_tampered, replace=False)
        kinds, drafts = {}, list(honest)
        for place in tampered:
            name = next(self._decks[api, phase])
            stages = possible(api, phase)
            drafts[place] = mutate(drafts[place], name, stages, self._rng)
            kinds[str(drafts[place].client)] = (api, phase, name)
        shuffled = [drafts[place] for place in self._rng.permutation(len(drafts))]
        return Round(where, [*repeated(shuffled)], kinds)

    def _deck(self, api: str, phase: str) -> Iterator[str]:
        while True:
            yield from self._rng.permutation(names(possible(api, phase))).tolist()


def repeated(drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Repeat those that are sent more than once, at the end."""
    yield from drafts
    for draft in drafts:
        yield from [draft] * (draft.num_copies - 1)


def honest_drafts(api: str, hospitals: Hospitals, arrays: Arrays) -> list[Draft]:
    """Let all clients answer honestly; without arrays, an evaluation."""
    return [
        Draft(
            client=client + 1,
            arrays=_encoded(hospitals.answer(client, arrays)),
            metrics={
                WEIGHT: 100 + client,
                "train_loss": 0.5 + client / 100,
                "accuracy": 0.9,
                **LISTS[api],
            },
            array_records=("arrays",) if arrays else (),
        )
        for client in range(hospitals.num_clients)
    ]


def _encoded(arrays: Arrays) -> dict[str, bytes]:
    return {key: encoded(values) for key, values in arrays.items()}
