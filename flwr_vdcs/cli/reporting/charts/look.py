"""Colours, letters and type that all charts of the page share."""

from collections.abc import Mapping
from typing import Any

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

KEPT_LINE = "#6f8ea9"
KEPT_AREA = "rgba(111, 142, 169, 0.25)"
"""Kept ones where they are no background."""

INK = "#25323d"
RULE = "#e6eaee"

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"

LAYOUT: Mapping[str, Any] = {
    "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    "font": {"family": FONT, "color": INK, "size": 13},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "#ffffff",
    "hoverlabel": {
        "align": "left",
        "bgcolor": "#ffffff",
        "bordercolor": INK,
        "font": {"family": FONT, "color": INK, "size": 13},
    },
    "legend": {
        "orientation": "h",
        "x": 0,
        "y": 1.02,
        "yanchor": "bottom",
        "traceorder": "normal",
    },
}


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Give an axis its title and its place."""
    return {
        "title": {"text": title, "standoff": 8},
        "automargin": True,
        "gridcolor": RULE,
        "zeroline": False,
        **more,
    }
