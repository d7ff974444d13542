"""Rounds to counts: one federation whose clients tamper with their replies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from faults.clients import Arrays, Hospitals
from faults.exchanges import WHOLE, Exchange
from faults.federations import Federation
from faults.outcomes import Outcome, outcome_of
from faults.tally import CHANGED, NOT_FINITE, RAISED, Tally
from faults.tampering import Liars, Round, Scene, Situation, Tampering, honest_drafts
from flwr_vdcs import RoundReport


@dataclass(frozen=True)
class Trial:
    """A federation, who tampers with its replies, and where the outcome is counted.

    Parameters
    ----------
    situation : Situation
        The API, what travels and how it is judged.
    name : str
        The strategy, by which a problem can be found again.
    federation : Federation
        The protected strategy.
    hospitals : Hospitals
        The clients.
    tampering : Tampering
        What some of them do.
    tally : Tally
        The counts.
    liars : Liars
        Who tampers.
    exchange : Exchange
        What travels.
    alone : Federation, optional
        The same strategy without the plugin, where the plugin only reports.
    """

    situation: Situation
    name: str
    federation: Federation
    hospitals: Hospitals
    tampering: Tampering
    tally: Tally
    liars: Liars
    exchange: Exchange = WHOLE
    alone: Federation | None = None

    def train(self, server_round: int, arrays: Arrays) -> Arrays:
        """Train a round and give the next model: the old one if there is none.

        Where the plugin only reports it is always the old one, as nothing else keeps
        the model sound.
        """
        asked = self.federation.configure(server_round, arrays)
        sent = self._tamper("train", server_round, arrays, asked)
        if self.alone and self.alone.configure(server_round, arrays) != asked:
            self.tally.add_problem(CHANGED, sent, f"asked {sorted(asked)}")
        if not asked:
            return arrays
        reports = self.federation.strategy.reports
        found = self._judge(sent, reports, partial(_train, server_round))
        if self.alone or found.arrays is None:
            return arrays
        if not _is_finite(found.arrays, self.exchange):
            self.tally.add_problem(NOT_FINITE, sent, "the model")
            return arrays
        return self.exchange.model_after(arrays, found.arrays)

    def evaluate(self, server_round: int) -> None:
        """Evaluate a round."""
        everyone = range(1, self.hospitals.num_clients + 1)
        sent = self._tamper("evaluate", server_round, {}, everyone)
        reports = self.federation.strategy.evaluation_reports
        self._judge(sent, reports, partial(_evaluate, server_round))

    def _tamper(
        self, phase: str, server_round: int, arrays: Arrays, asked: Collection[int]
    ) -> Round:
        drafts = honest_drafts(
            self.situation.api, self.hospitals, arrays, self.exchange
        )
        honest = [draft for draft in drafts if draft.client in asked]
        where = f"{self.name}, {', '.join(self.situation)}, round {server_round}"
        scene = Scene(self.situation, phase, where)
        return self.tampering.tamper(scene, honest, self.liars)

    def _judge(
        self,
        sent: Round,
        reports: Sequence[RoundReport],
        step: Callable[[Round, Federation], Arrays | None],
    ) -> Outcome:
        """Let the plugin judge what was sent, and count what it decided."""
        num_before = len(reports)
        found = outcome_of(self.federation, partial(step, sent, self.federation))
        if self.alone:
            without = outcome_of(self.alone, partial(step, sent, self.alone))
            if not found.is_same(without):
                told = f"{found.told} instead of {without.told}"
                self.tally.add_problem(CHANGED, sent, told)
        elif found.error:
            self.tally.add_problem(RAISED, sent, found.told)
        self.tally.add_round(sent, reports[num_before:])
        return found


def _train(server_round: int, sent: Round, federation: Federation) -> Arrays | None:
    return federation.train(server_round, sent.replies)


def _evaluate(server_round: int, sent: Round, federation: Federation) -> None:
    federation.evaluate(server_round, sent.replies)


def _is_finite(arrays: Arrays, exchange: Exchange) -> bool:
    """Tell whether clients can load the model: it is finite in their precision."""
    with np.errstate(over="ignore"):
        return all(np.isfinite(_loaded(v, exchange)).all() for v in arrays.values())


def _loaded(values: np.ndarray, exchange: Exchange) -> np.ndarray:
    if values.dtype.kind != "f":
        return values
    return values.astype(exchange.dtype or np.float32)
