"""Values to places in a drawing, and a drawing to what its axes say."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flwr_vdcs.cli.reporting.charts.look import ticks

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 38
"""Of the drawing, and the room that it leaves at its edges."""

MAX_TICKS = 6
PADDING = 0.05
"""Of the range of values, left free."""

Label = tuple[float, str]
"""Where it stands, and what it says."""


@dataclass(frozen=True)
class Frame:
    """Maps values to places in the drawing.

    Attributes
    ----------
    x, y : tuple of float
        The values at its edges.
    """

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, values: Iterable[float]) -> list[float]:
        """Give places from the left."""
        low, high = self.x
        share = (np.fromiter(values, float) - low) / (high - low)
        return [LEFT + each * (WIDTH - LEFT - RIGHT) for each in share.tolist()]

    def up(self, values: Iterable[float]) -> list[float]:
        """Give places from the top, of values that grow upwards."""
        low, high = self.y
        share = (np.fromiter(values, float) - low) / (high - low)
        room = HEIGHT - TOP - BOTTOM
        return [HEIGHT - BOTTOM - each * room for each in share.tolist()]

    def labels_across(self) -> list[Label]:
        """Label round values of x."""
        values = ticks(*self.x, MAX_TICKS)
        return _labelled(self.across(values), values)

    def labels_up(self) -> list[Label]:
        """Label round values of y."""
        values = ticks(*self.y, MAX_TICKS)
        return _labelled(self.up(values), values)


@dataclass(frozen=True)
class Chart:
    """A drawing.

    Attributes
    ----------
    paths : dict of str to str
        SVG paths by what they show.
    across, up : list of tuple
        Place and text of each label of an axis.
    """

    paths: dict[str, str]
    across: list[Label]
    up: list[Label]


def _labelled(places: list[float], values: list[float]) -> list[Label]:
    return [(place, f"{value:g}") for place, value in zip(places, values, strict=True)]
