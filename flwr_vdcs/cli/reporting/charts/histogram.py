"""Ledger to a histogram: how many updates had which score, by verdict."""

import numpy as np

from flwr_vdcs.cli.reporting.charts.frame import (
    BOTTOM,
    HEIGHT,
    PADDING,
    TOP,
    Chart,
    Frame,
)
from flwr_vdcs.cli.reporting.charts.scores import Scores, scores_of, thresholds_of
from flwr_vdcs.cli.reporting.ledger import Ledger

NUM_BINS = 40


def histogram(ledger: Ledger) -> Chart:
    """Count scores by verdict; those far out are counted at the edge."""
    scores = scores_of(ledger)
    edges = np.linspace(*scores.limits, NUM_BINS + 1)
    kept, dropped = (counts_of(scores, each, edges) for each in ("kept", "dropped"))
    top = max(1, int((kept + dropped).max()))
    frame = Frame(scores.limits, (0, top * (1 + PADDING)))
    lines = frame.across(thresholds_of(ledger))
    return Chart(
        paths={
            "kept": _bars(frame, edges, np.zeros(NUM_BINS), kept),
            "dropped": _bars(frame, edges, kept, kept + dropped),
            "threshold": "".join(f"M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" for x in lines),
        },
        across=frame.labels_across(),
        up=[label for label in frame.labels_up() if "." not in label[1]],
    )


def counts_of(scores: Scores, verdict: str, edges: np.ndarray) -> np.ndarray:
    """Count the scores that had a verdict between each two edges."""
    return np.histogram(scores.clipped[scores.have(verdict)], edges)[0]


def _bars(frame: Frame, edges: np.ndarray, floor: np.ndarray, top: np.ndarray) -> str:
    """Draw a bar between each two edges, where there is anything to count."""
    left, right = frame.across(edges[:-1]), frame.across(edges[1:])
    low, high = frame.up(floor), frame.up(top)
    return "".join(
        f"M{left[bar] + 0.5:.1f} {low[bar]:.1f}V{high[bar]:.1f}"
        f"H{right[bar]:.1f}V{low[bar]:.1f}z"
        for bar in np.flatnonzero(top > floor)
    )
