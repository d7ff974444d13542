"""Decisions to distributions: where the scores lie, by verdict and over the rounds."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from flwr_vdcs.cli.reporting.charts.look import (
    COLOURS,
    KEPT_AREA,
    KEPT_LINE,
    LAYOUT,
    axis,
)
from flwr_vdcs.cli.reporting.reading.decisions import training

NUM_BINS = 40
HEIGHT = 340

OUTLYING = 0.005
"""The share of the lowest and of the highest scores that is drawn at the edge."""

MAX_TICKS = 8
PADDING = 0.05


def histogram(decisions: pd.DataFrame) -> go.Figure:
    """Count scores by verdict; those far out are counted at the edge."""
    scored = _scored(decisions)
    low, high = _limits(scored["score"])
    edges = np.linspace(low, high, NUM_BINS + 1)
    figure = _figure("score", "updates").update_layout(barmode="stack", bargap=0.06)
    styles = {"kept": (KEPT_LINE, ""), "dropped": (COLOURS["dropped"], "/")}
    for verdict, (colour, shape) in styles.items():
        scores = scored.loc[scored["verdict"] == verdict, "score"].clip(low, high)
        figure.add_bar(
            name=verdict,
            x=(edges[:-1] + edges[1:]) / 2,
            y=np.histogram(scores, edges)[0],
            marker={"color": colour, "pattern": {"shape": shape}},
            hovertemplate=f"%{{y}} {verdict} near %{{x:.3g}}<extra></extra>",
        )
    return figure


def over_rounds(decisions: pd.DataFrame) -> go.Figure:
    """Draw range and median of the scores kept, and each score dropped."""
    scored = _scored(decisions)
    low, high = _limits(scored["score"])
    room = PADDING * (high - low)
    figure = _figure("round", "score")
    figure.update_yaxes(range=[low - room, high + room])
    figure.update_xaxes(dtick=max(1, scored["round"].nunique() // MAX_TICKS), tick0=0)
    scored = scored.assign(place=scored["score"].clip(low, high))
    _add_kept(figure, scored[scored["verdict"] == "kept"])
    _add_dropped(figure, scored[scored["verdict"] == "dropped"])
    return figure


def _add_kept(figure: go.Figure, kept: pd.DataFrame) -> None:
    by_round = kept.groupby("round")["place"].agg(["min", "median", "max"])
    edge = {"x": by_round.index, "mode": "lines", "line": {"width": 0}}
    edge["hoverinfo"] = "skip"
    figure.add_scatter(y=by_round["min"], showlegend=False, **edge)
    area = {"fill": "tonexty", "fillcolor": KEPT_AREA}
    figure.add_scatter(y=by_round["max"], name="kept, range", **edge, **area)
    figure.add_scatter(
        name="kept, median",
        x=by_round.index,
        y=by_round["median"],
        mode="lines",
        line={"color": KEPT_LINE, "width": 2},
        hovertemplate="round %{x}: median of the kept %{y:.4g}<extra></extra>",
    )


def _add_dropped(figure: go.Figure, dropped: pd.DataFrame) -> None:
    figure.add_scatter(
        name="dropped",
        x=dropped["round"],
        y=dropped["place"],
        customdata=dropped["score"],
        mode="markers",
        marker={"color": COLOURS["dropped"], "symbol": "x", "size": 7},
        hovertemplate="round %{x}: dropped at %{customdata:.4g}<extra></extra>",
    )


def _figure(x: str, y: str) -> go.Figure:
    axes = {"xaxis": axis(x, showgrid=False), "yaxis": axis(y)}
    return go.Figure(layout={**LAYOUT, "height": HEIGHT, **axes})


def _scored(decisions: pd.DataFrame) -> pd.DataFrame:
    trained = training(decisions)
    return trained[trained["score"].notna()]


def _limits(scores: pd.Series) -> tuple[float, float]:
    """Keep single scores far out from squeezing all the others."""
    if scores.empty:
        return 0.0, 1.0
    low, high = (float(scores.quantile(q)) for q in (OUTLYING, 1 - OUTLYING))
    return (low, high) if low < high else (low - 1, high + 1)
