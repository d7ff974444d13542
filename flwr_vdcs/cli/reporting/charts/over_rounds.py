"""Ledger to a chart over the rounds: the kept, the dropped and the threshold."""

import numpy as np

from flwr_vdcs.cli.reporting.charts.frame import (
    LEFT,
    MAX_TICKS,
    PADDING,
    RIGHT,
    WIDTH,
    Chart,
    Frame,
)
from flwr_vdcs.cli.reporting.charts.look import places
from flwr_vdcs.cli.reporting.charts.scores import (
    scores_of,
    threshold_in,
    thresholds_of,
)
from flwr_vdcs.cli.reporting.ledger import Entry, Ledger

MAX_POINTS = 400
"""So many rounds get a point of their own; of more, neighbours share one."""

CROSS = 3
"""Half the size of a cross, and how far apart two must be to be drawn both."""

Points = list[tuple[float, float]]


def over_rounds(ledger: Ledger) -> Chart:
    """Draw range and median of the scores kept, each score dropped, and thresholds."""
    scores, rounds = scores_of(ledger), ledger.of("train")
    low, high = scores.limits
    room = PADDING * (high - low)
    frame = Frame((-0.5, len(rounds) - 0.5), (low - room, high + room))
    column_of = np.cumsum([each.line.phase == "train" for each in ledger.entries]) - 1
    points = np.column_stack(
        [frame.across(column_of[scores.entry]), frame.up(scores.clipped)]
    )
    area, median = _range(points[scores.have("kept")])
    labelled = places(len(rounds), MAX_TICKS)
    numbers = [str(rounds[column].number) for column in labelled]
    return Chart(
        paths={
            "area": area,
            "median": median,
            "cross": _crosses(points[scores.have("dropped")]),
            "threshold": _thresholds(ledger, rounds, frame),
        },
        across=[*zip(frame.across(labelled), numbers, strict=True)],
        up=frame.labels_up(),
    )


def _range(points: np.ndarray) -> tuple[str, str]:
    """Draw range and median of what stands at each place."""
    if not len(points):
        return "", ""
    width = (WIDTH - LEFT - RIGHT) / MAX_POINTS
    buckets = np.round((points[:, 0] - LEFT) / width)
    order = np.argsort(buckets, kind="stable")
    starts = np.flatnonzero(np.diff(buckets[order]))
    groups = np.split(points[order], starts + 1)
    x = [float(group[:, 0].mean()) for group in groups]
    low, middle, high = (
        [float(measure(group[:, 1])) for group in groups]
        for measure in (np.max, np.median, np.min)
    )
    upper, lower = zip(x, high, strict=True), zip(x, low, strict=True)
    around = [*upper, *reversed([*lower])]
    return f"{_line(around)}z", _line([*zip(x, middle, strict=True)])


def _line(points: Points) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _crosses(points: np.ndarray) -> str:
    """Draw a cross at each place, one of those that would lie upon each other."""
    size = 2 * CROSS
    apart = {(round(x / CROSS), round(y / CROSS)): (x, y) for x, y in points.tolist()}
    return "".join(
        f"M{x - CROSS:.1f} {y - CROSS:.1f}l{size} {size}m{-size} 0l{size} {-size}"
        for x, y in apart.values()
    )


def _thresholds(ledger: Ledger, rounds: list[Entry], frame: Frame) -> str:
    """Draw each threshold over the rounds that it decided."""
    lines = []
    for threshold in thresholds_of(ledger):
        [height] = frame.up([threshold])
        decided = np.array([threshold_in(each) == threshold for each in rounds])
        edges = np.diff(np.pad(decided.astype(np.int8), 1))
        starts = frame.across(np.flatnonzero(edges == 1) - 0.5)
        ends = frame.across(np.flatnonzero(edges == -1) - 0.5)
        lines += [
            f"M{start:.1f} {height:.1f}H{end:.1f}"
            for start, end in zip(starts, ends, strict=True)
        ]
    return "".join(lines)
