"""Outcomes to a panel: accuracy of some series under one attack, along one axis."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from bloodmnist.grid import Cell
from bloodmnist.reported import find_reported
from bloodmnist.summary import Outcomes, Spread

NUM_CLIENTS = 10
ASSUMED_WITHOUT_ATTACK = 3
CROSS_HEIGHT, LOWEST, HIGHEST = -5, -9, 101
BLACK, PALE = "#000000", "#BBBBBB"

MARKS = {
    "last": Line2D([], [], color=BLACK, marker="o", label="last round"),
    "maximum": Line2D(
        [], [], color=BLACK, marker="o", linestyle=":", mfc="white", label="maximum"
    ),
    "paper": Line2D(
        [], [], color=BLACK, marker="*", linestyle="", ms=12, label="paper, maximum"
    ),
    "range": Line2D([], [], color=PALE, linewidth=8, label="paper, a range"),
    "missing": Line2D([], [], color=BLACK, marker="x", linestyle="", label="no result"),
}


@dataclass(frozen=True)
class Attack:
    """An attack of the run config, and what a picture calls it."""

    title: str
    name: str
    labels: str = "clean"


@dataclass(frozen=True)
class Series:
    """An algorithm with a defense, what a picture calls it and how it looks there."""

    title: str
    algorithm: str
    defense: str
    scoring: str
    color: str
    marker: str


@dataclass(frozen=True)
class Axis:
    """What the horizontal axis shows: a share of poisoned clients and an alpha each."""

    title: str
    ticks: tuple[str, ...]
    fractions: tuple[float, ...]
    alphas: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Parameters
    ----------
    outcomes : dict
        What came of every setup of one profile.
    attack : Attack
        What poisoned clients do, where there are any.
    series : tuple[Series, ...]
        What to draw.
    axis : Axis
        Along what.
    figure : int
        The figure of the paper whose numbers are drawn beside.
    measures : tuple[str, ...]
        ``"last"``, ``"maximum"`` or both.
    """

    outcomes: Outcomes
    attack: Attack
    series: tuple[Series, ...]
    axis: Axis
    figure: int
    measures: tuple[str, ...] = ("last", "maximum")

    def draw(self, axes: Axes) -> None:
        """Draw every series, each a little beside the others."""
        width = min(0.6 / len(self.series), 0.16)
        for number, series in enumerate(self.series):
            self._draw_series(
                axes, series, width * (number - len(self.series) / 2 + 0.5)
            )
        axes.set(ylim=(LOWEST, HIGHEST), xlim=(-0.5, len(self.axis.ticks) - 0.5))
        axes.set_xticks(range(len(self.axis.ticks)), self.axis.ticks)
        axes.yaxis.set_major_locator(MultipleLocator(20))
        axes.grid(axis="y", alpha=0.3)
        for position in range(1, len(self.axis.ticks)):
            axes.axvline(position - 0.5, color=PALE, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)

    def find_cell(self, series: Series, position: int) -> Cell | None:
        """Return the setup that a position of a series stands for; None if missing."""
        fraction, alpha = self.axis.fractions[position], self.axis.alphas[position]
        wanted = {
            "algorithm": series.algorithm,
            "attack": self.attack.name if fraction else "none",
            "labels": self.attack.labels if fraction else "clean",
            "fraction": fraction,
            "defense": series.defense,
            "scoring": series.scoring,
            "num_malicious": _assumed(series, fraction),
            "alpha": alpha,
        }
        return next(
            (
                cell
                for cell in self.outcomes
                if all(getattr(cell, key) == value for key, value in wanted.items())
            ),
            None,
        )

    def _draw_series(self, axes: Axes, series: Series, shift: float) -> None:
        places = [position + shift for position in range(len(self.axis.ticks))]
        cells = [self.find_cell(series, position) for position in range(len(places))]
        for measure in self.measures:
            found = [getattr(self.outcomes[c], measure) if c else None for c in cells]
            _draw_line(axes, series, places, found, hollow=measure == "maximum")
        missing = [x for x, cell in zip(places, cells, strict=True) if cell is None]
        axes.plot(missing, [CROSS_HEIGHT] * len(missing), "x", color=series.color, ms=5)
        if "maximum" in self.measures:
            self._draw_reported(axes, series, places)

    def _draw_reported(self, axes: Axes, series: Series, places: list[float]) -> None:
        """Draw what the paper reports, behind what we found."""
        for position, x in enumerate(places):
            for reported in find_reported(
                algorithm=series.algorithm,
                attack=self.attack.name,
                defense=series.defense,
                fraction=self.axis.fractions[position],
                alpha=self.axis.alphas[position],
            ):
                if reported.figure == self.figure and series.scoring in {"", "paper"}:
                    _draw_range(axes, series.color, x, reported.low, reported.high)


def _draw_range(axes: Axes, color: str, x: float, low: float, high: float) -> None:
    """Draw a bar, or a star where both ends are one number."""
    if low == high:
        axes.plot(x, low, "*", color=color, markersize=13, mec="white", zorder=1)
    else:
        look = {"linewidth": 8, "alpha": 0.35, "solid_capstyle": "butt"}
        axes.plot([x, x], [low, high], color=color, zorder=1, **look)


def _assumed(series: Series, fraction: float) -> int:
    if series.defense == "none":
        return 0
    return round(fraction * NUM_CLIENTS) if fraction else ASSUMED_WITHOUT_ATTACK


def _draw_line(
    axes: Axes,
    series: Series,
    places: list[float],
    spreads: list[Spread | None],
    *,
    hollow: bool,
) -> None:
    """Draw means with their bars; the line is broken where something is missing."""
    nothing = (float("nan"),) * 3
    points = [_percent(spread) if spread else nothing for spread in spreads]
    means = [mean for _, mean, _ in points]
    axes.errorbar(
        places,
        means,
        yerr=([m - low for low, m, _ in points], [high - m for _, m, high in points]),
        color=series.color,
        marker=series.marker,
        markersize=6,
        markerfacecolor="white" if hollow else series.color,
        linestyle=":" if hollow else "-",
        capsize=2,
        zorder=2 if hollow else 3,
    )


def _percent(spread: Spread) -> tuple[float, float, float]:
    return 100 * min(spread.values), 100 * spread.mean, 100 * max(spread.values)
