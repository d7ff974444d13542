"""Grid to heatmaps: verdicts and scores, rounds to the right, clients downwards."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from flwr_vdcs.cli.reporting.charts.grid import Grid
from flwr_vdcs.cli.reporting.charts.look import COLOURS, INK, LAYOUT, MARKS, axis
from flwr_vdcs.cli.reporting.reading.decisions import VERDICTS

MAX_MARKED = 1_500
"""In more cells than that a letter would not fit."""

ROW_HEIGHTS = (12, 30)
HEIGHT = 520
"""Pixels: what all rows share, as long as a row is neither too high nor too low."""

HEIGHT_BESIDE = 70
HEIGHT_OF_BAR = 44
FONT_SIZES = (9, 13)

MAX_LABELS = 12
"""Of rounds, so that they stay apart on a narrow screen."""

COLOUR_BAR = {
    "orientation": "h",
    "x": 0,
    "xanchor": "left",
    "y": 1,
    "yanchor": "bottom",
    "lenmode": "pixels",
    "len": 180,
    "nticks": 4,
    "thickness": 10,
    "outlinewidth": 0,
    "ypad": 4,
    "ticklabelposition": "outside top",
}
"""Above the rows, so that both heatmaps are equally wide."""

OUTLYING = 0.02
"""The share of the lowest and of the highest scores that get the end colours."""


def verdict_heatmap(grid: Grid) -> go.Figure:
    """Draw verdicts, with a letter in each cell where there is room."""
    num_verdicts = len(VERDICTS)
    scale = [
        ((place + end) / num_verdicts, COLOURS[verdict])
        for place, verdict in enumerate(VERDICTS)
        for end in (0, 1)
    ]
    options = {"zmin": -0.5, "zmax": num_verdicts - 0.5, "showscale": False}
    return _heatmap(grid, grid.verdicts, colorscale=scale, **options, **_marks(grid))


def score_heatmap(grid: Grid) -> go.Figure:
    """Draw scores; the darker, the lower."""
    found = grid.scores[np.isfinite(grid.scores)]
    low, high = np.quantile(found, (OUTLYING, 1 - OUTLYING)) if found.size else (0, 1)
    limits = {"zmin": float(low), "zmax": float(high), "colorbar": COLOUR_BAR}
    figure = _heatmap(grid, grid.scores, colorscale="Cividis", **limits)
    return figure.update_layout(height=figure.layout.height + HEIGHT_OF_BAR)


def _heatmap(grid: Grid, values: np.ndarray, **options: Any) -> go.Figure:
    """Leave the hover labels out: they are the same in all, so the page adds them."""
    trace = go.Heatmap(
        x=grid.rounds,
        z=values,
        hovertemplate="%{hovertext}<extra></extra>",
        hoverongaps=False,
        xgap=1 if values.size <= MAX_MARKED else 0,
        ygap=1,
        **options,
    )
    return go.Figure(trace, _layout(grid))


def _marks(grid: Grid) -> dict[str, Any]:
    if grid.verdicts.size > MAX_MARKED:
        return {}
    letters = np.array([*MARKS.values(), ""])
    places = np.nan_to_num(grid.verdicts, nan=len(MARKS)).astype(int)
    return {"text": letters[places].tolist(), "texttemplate": "%{text}"}


def _layout(grid: Grid) -> dict[str, Any]:
    num_clients = len(grid.clients)
    row_height = np.clip(HEIGHT / num_clients, *ROW_HEIGHTS)
    rows = {"tickvals": list(range(num_clients)), "ticktext": grid.clients}
    font = {"size": int(np.clip(row_height - 2, *FONT_SIZES))}
    rounds = {"type": "category", "nticks": MAX_LABELS, "showgrid": False}
    return {
        **LAYOUT,
        "height": int(row_height * num_clients) + HEIGHT_BESIDE,
        "xaxis": axis("round", **rounds),
        "yaxis": axis("", autorange="reversed", showgrid=False, tickfont=font, **rows),
        "shapes": [_boundary(column) for column in grid.new_runs],
    }


def _boundary(column: int) -> dict[str, Any]:
    """Draw a line before the column in which a run begins."""
    return {
        "type": "line",
        "yref": "paper",
        "x0": column - 0.5,
        "x1": column - 0.5,
        "y0": 0,
        "y1": 1,
        "line": {"color": INK, "width": 1.5, "dash": "dot"},
    }
