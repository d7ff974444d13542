"""Samples to trends: how fast something grows, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NUM_RESAMPLES = 2_000
BLOCK = 20
"""Rounds that are drawn together, as neighbours are not independent."""

TAILS = (2.5, 97.5)


@dataclass(frozen=True)
class Trend:
    """A slope, and between what it lies with 95 % confidence."""

    slope: float
    low: float
    high: float

    def __str__(self) -> str:
        """Say it in figures."""
        return f"{self.slope:.3g} ({self.low:.3g} to {self.high:.3g})"


def trend(values: Sequence[float], seed: int = 0) -> Trend:
    """Fit a line by least squares, and its slope to residuals drawn again in blocks.

    The moving block bootstrap (Künsch, 1989) keeps what neighbouring rounds have in
    common, which would make the usual interval far too narrow.

    Raises
    ------
    ValueError
        If there are fewer than two blocks of values.
    """
    observed = np.asarray(values, float)
    if len(observed) < 2 * BLOCK:
        raise ValueError(
            f"{len(observed)} values are too few: give {2 * BLOCK} or more"
        )
    rounds = np.arange(len(observed))
    slope, start = np.polyfit(rounds, observed, 1)
    residuals = observed - (start + slope * rounds)
    rng = np.random.default_rng(seed)
    slopes = [
        np.polyfit(rounds, start + slope * rounds + _redrawn(residuals, rng), 1)[0]
        for _ in range(NUM_RESAMPLES)
    ]
    low, high = np.percentile(slopes, TAILS)
    return Trend(float(slope), float(low), float(high))


def _redrawn(
    residuals: np.ndarray[tuple[int], np.dtype[np.float64]], rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    num_blocks = -(-len(residuals) // BLOCK)
    starts = rng.integers(len(residuals) - BLOCK + 1, size=num_blocks)
    drawn = np.concatenate([residuals[start : start + BLOCK] for start in starts])
    return drawn[: len(residuals)]
