"""Rounds to counts: one federation whose clients tamper with their replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from faults.clients import Arrays, Hospitals
from faults.federations import Federation
from faults.tally import NOT_FINITE, RAISED, Tally
from faults.tampering import Round, Tampering, honest_drafts
from flwr_vdcs import RoundReport


@dataclass(frozen=True)
class Trial:
    """A federation, who tampers with its replies, and where the outcome is counted.

    Parameters
    ----------
    api : str
        ``"message"`` or ``"legacy"``.
    name : str
        The strategy and its settings, by which a problem can be found again.
    federation : Federation
        The protected strategy.
    hospitals : Hospitals
        The clients.
    tampering : Tampering
        What some of them do.
    tally : Tally
        The counts.
    """

    api: str
    name: str
    federation: Federation
    hospitals: Hospitals
    tampering: Tampering
    tally: Tally

    def train(self, server_round: int, arrays: Arrays) -> Arrays:
        """Train a round and give the next model: the old one if there is none."""
        self.federation.configure(server_round, arrays)
        sent = self._tamper("train", server_round, arrays)
        reports = self.federation.strategy.reports
        found = self._judge(
            sent, reports, lambda: self.federation.train(server_round, sent.replies)
        )
        if found is not None and not _is_finite(found):
            self.tally.add_problem(NOT_FINITE, sent, "the model")
            return arrays
        return arrays if found is None else found

    def evaluate(self, server_round: int) -> None:
        """Evaluate a round."""
        sent = self._tamper("evaluate", server_round, {})
        reports = self.federation.strategy.evaluation_reports
        self._judge(
            sent, reports, lambda: self.federation.evaluate(server_round, sent.replies)
        )

    def _tamper(self, phase: str, server_round: int, arrays: Arrays) -> Round:
        honest = honest_drafts(self.api, self.hospitals, arrays)
        where = f"{self.api} {self.name}, round {server_round}"
        return self.tampering.tamper(self.api, phase, where, honest)

    def _judge(
        self,
        sent: Round,
        reports: Sequence[RoundReport],
        aggregate: Callable[[], Arrays | None],
    ) -> Arrays | None:
        """Let the plugin judge what was sent, and count what it decided."""
        num_before = len(reports)
        try:
            with np.errstate(all="ignore"):
                found = aggregate()
        except Exception as error:  # noqa: BLE001  # to be counted, whatever it is
            self.tally.add_problem(RAISED, sent, repr(error))
            found = None
        self.tally.add_round(sent, reports[num_before:])
        return found


def _is_finite(arrays: Arrays) -> bool:
    """Tell whether clients can load the model: it is finite in single precision."""
    with np.errstate(over="ignore"):
        return all(np.isfinite(v.astype(np.float32)).all() for v in arrays.values())
