"""Rows to outcomes: last-round and maximum accuracy, with their spread over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from bloodmnist.grid import Cell
from bloodmnist.rows import Row, finished_cells


@dataclass(frozen=True)
class Spread:
    """One number of several seeds.

    Parameters
    ----------
    values : tuple[float, ...]
        The number for every seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds; rounding does not take it out of their range."""
        return min(max(fmean(self.values), min(self.values)), max(self.values))

    @property
    def deviation(self) -> float:
        """The standard deviation of the sample; 0 for one seed."""
        return stdev(self.values) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of a setup: a cell, whatever its seed.

    Parameters
    ----------
    last : Spread
        Accuracy after the last round, from 0 to 1.
    maximum : Spread
        Highest accuracy after any round but round 0, which is before training.
    recall, precision, false_drops : float | None
        Means over rounds and seeds; None where there was nothing to measure.
    seconds : float
        Mean duration of a round.
    """

    last: Spread
    maximum: Spread
    recall: float | None
    precision: float | None
    false_drops: float | None
    seconds: float

    @property
    def num_seeds(self) -> int:
        """How many seeds it is about."""
        return len(self.last.values)


Outcomes = dict[Cell, Outcome]


def find_setup(cell: Cell) -> Cell:
    """Return what a cell has in common with those of other seeds."""
    return replace(cell, seed=0)


def summarise(rows: Iterable[Row]) -> Outcomes:
    """Summarise every setup of one profile over its finished cells."""
    rows = sorted(rows, key=lambda row: row.number)
    finished = finished_cells(rows)
    setups: dict[Cell, dict[Cell, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.cell in finished and row.number > 0:
            setups[find_setup(row.cell)][row.cell].append(row)
    return {setup: _summarise(list(runs.values())) for setup, runs in setups.items()}


def _summarise(runs: Sequence[Sequence[Row]]) -> Outcome:
    measured = [row.measured for rows in runs for row in rows]
    return Outcome(
        last=Spread(tuple(rows[-1].measured.accuracy for rows in runs)),
        maximum=Spread(tuple(max(r.measured.accuracy for r in rows) for rows in runs)),
        recall=_mean(each.recall for each in measured),
        precision=_mean(each.precision for each in measured),
        false_drops=_mean(each.false_drops for each in measured),
        seconds=fmean(each.seconds for each in measured),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return fmean(there) if there else None
