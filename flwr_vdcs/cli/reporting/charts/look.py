"""Colours, letters and steps that the charts of the page share."""

from collections.abc import Mapping
from math import ceil, log10

COLOURS: Mapping[str, str] = {
    "kept": "#dbe7f0",
    "idle": "#009e73",
    "dropped": "#e69f00",
    "quarantined": "#0072b2",
    "banned": "#3d3d3d",
}
"""Of Okabe and Ito's palette for colour-blind people, and apart in lightness too."""

MARKS: Mapping[str, str] = {
    "kept": "",
    "idle": "I",
    "dropped": "D",
    "quarantined": "Q",
    "banned": "B",
}
"""What stands in a cell, so that colour is not all that tells."""

SCALE = (
    "#00224e",
    "#0a316e",
    "#31446b",
    "#4c566c",
    "#666970",
    "#7d7c78",
    "#958f78",
    "#b0a572",
    "#ccbb68",
    "#e8d355",
    "#fee838",
)
"""Cividis in steps, the lowest scores first."""

STEPS = (1, 2, 5, 10)


def ticks(low: float, high: float, most: int) -> list[float]:
    """Give round numbers between two, evenly spaced, and not too many."""
    rough = (high - low) / most
    power = 10.0 ** (ceil(log10(rough)) - 1)
    step = next(size * power for size in STEPS if size * power >= rough * (1 - 1e-9))
    first = ceil(low / step - 1e-9)
    return [
        place * step for place in range(first, first + most + 1) if place * step <= high
    ]


def places(count: int, most: int) -> list[int]:
    """Choose evenly spaced columns for labels."""
    return list(range(0, count, max(1, ceil(count / most))))
