"""Ledger to scores: those of training rounds, and the thresholds that decided."""

from dataclasses import dataclass

import numpy as np

from flwr_vdcs.cli.reading.line import VERDICTS
from flwr_vdcs.cli.reporting.ledger import Entry, Ledger

OUTLYING = 0.005
"""The share of the lowest and of the highest scores that is drawn at the edge."""


@dataclass(frozen=True)
class Scores:
    """What was scored.

    Attributes
    ----------
    entry, verdict, value : array
        Of each score its round's place in the ledger, its verdict's place, and itself.
    limits : tuple of float
        The lowest and highest value to be drawn.
    """

    entry: np.ndarray
    verdict: np.ndarray
    value: np.ndarray
    limits: tuple[float, float]

    @property
    def clipped(self) -> np.ndarray:
        """The scores, those far out at the edge."""
        low, high = self.limits
        clipped: np.ndarray = self.value.clip(low, high)
        return clipped

    def have(self, verdict: str) -> np.ndarray:
        """Tell which scores had a verdict."""
        return np.isin(self.verdict, [VERDICTS.index(verdict)])


def scores_of(ledger: Ledger) -> Scores:
    """Take the scores of training rounds."""
    scored = ledger.is_training & np.isfinite(ledger.score)
    value = ledger.score[scored]
    limits = _limits(value, thresholds_of(ledger))
    return Scores(ledger.entry[scored], ledger.verdict[scored], value, limits)


def threshold_in(entry: Entry) -> float | None:
    """Give the threshold that decided a round; None where a number of clients did."""
    run = entry.line.run
    return run.threshold if run and run.num_malicious == "auto" else None


def thresholds_of(ledger: Ledger) -> list[float]:
    """Give each threshold that decided."""
    found = {threshold_in(entry) for entry in ledger.of("train")}
    return sorted(each for each in found if each is not None)


def _limits(scores: np.ndarray, thresholds: list[float]) -> tuple[float, float]:
    """Keep single scores far out from squeezing all the others."""
    if not scores.size:
        return 0.0, 1.0
    low, high = (float(np.quantile(scores, q)) for q in (OUTLYING, 1 - OUTLYING))
    low, high = min([low, *thresholds]), max([high, *thresholds])
    return (low, high) if low < high else (low - 1, high + 1)
