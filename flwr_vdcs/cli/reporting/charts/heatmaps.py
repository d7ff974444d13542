"""Grid to heat maps: verdicts and scores, rounds to the right, clients downwards."""

from dataclasses import dataclass

import numpy as np

from flwr_vdcs.cli.reading.line import VERDICTS
from flwr_vdcs.cli.reporting.charts.grid import NOT_ASKED, Grid
from flwr_vdcs.cli.reporting.charts.look import COLOURS, MARKS, SCALE, places

MAX_MARKED = 1_500
"""In more cells than that a letter would not fit, nor a gap between columns."""

ROW_HEIGHTS = (15, 30)
HEIGHT = 520
"""Pixels: what all rows share, as long as a row is neither too high nor too low."""

MAX_LABELS = 12
"""Of rounds, so that they stay apart on a narrow screen."""

OUTLYING = 0.02
"""The share of the lowest and of the highest scores that get the end colours."""


@dataclass(frozen=True)
class Heatmap:
    """Cells in units of a cell, to be stretched as wide as there is room.

    Attributes
    ----------
    size : tuple of int
        Columns and rows.
    row_height : float
        In pixels.
    cells : dict of str to str
        The cells of each colour, as an SVG path.
    row_gaps, column_gaps : str
        Lines between the cells, as SVG paths.
    marks : list of tuple
        Left and top of each letter, from 0 to 1, and the letter.
    ticks : list of tuple
        Where the label of a round stands, from 0 to 1, and its number.
    limits : tuple of float or None
        Scores of the end colours.
    """

    size: tuple[int, int]
    row_height: float
    cells: dict[str, str]
    row_gaps: str
    column_gaps: str
    marks: list[tuple[float, float, str]]
    ticks: list[tuple[float, int]]
    limits: tuple[float, float] | None = None


def verdict_heatmap(grid: Grid) -> Heatmap:
    """Draw verdicts, with a letter in each cell where there is room."""
    cells = {
        COLOURS[verdict]: _path(grid.verdicts == place)
        for place, verdict in enumerate(VERDICTS)
    }
    return _heatmap(grid, cells, _marks(grid))


def score_heatmap(grid: Grid) -> Heatmap:
    """Draw scores; the darker, the lower."""
    found = grid.scores[np.isfinite(grid.scores)]
    low, high = np.quantile(found, (OUTLYING, 1 - OUTLYING)) if found.size else (0, 1)
    width = (high - low) or 1.0
    levels = np.nan_to_num((grid.scores - low) / width * len(SCALE), nan=-len(SCALE))
    steps = np.clip(np.floor(levels), 0, len(SCALE) - 1)
    steps[np.isnan(grid.scores)] = NOT_ASKED
    cells = {colour: _path(steps == step) for step, colour in enumerate(SCALE)}
    return _heatmap(grid, cells, [], (float(low), float(high)))


def _heatmap(
    grid: Grid,
    cells: dict[str, str],
    marks: list[tuple[float, float, str]],
    limits: tuple[float, float] | None = None,
) -> Heatmap:
    num_rows, num_columns = grid.verdicts.shape
    return Heatmap(
        size=(num_columns, num_rows),
        row_height=float(np.clip(HEIGHT / num_rows, *ROW_HEIGHTS)),
        cells={colour: path for colour, path in cells.items() if path},
        row_gaps="".join(f"M0 {row}h{num_columns}" for row in range(1, num_rows)),
        column_gaps=_column_gaps(num_rows, num_columns),
        marks=marks,
        ticks=[
            ((column + 0.5) / num_columns, grid.rounds[column])
            for column in places(num_columns, MAX_LABELS)
        ],
        limits=limits,
    )


def _path(cells: np.ndarray) -> str:
    """Draw cells as rectangles, each row from left to right, neighbours as one."""
    edges = np.diff(np.pad(cells.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return "".join(
        f"M{start} {row}h{end - start}v1h{start - end}z"
        for (row, start), (_, end) in zip(starts, ends, strict=True)
    )


def _column_gaps(num_rows: int, num_columns: int) -> str:
    if num_rows * num_columns > MAX_MARKED:
        return ""
    return "".join(f"M{column} 0v{num_rows}" for column in range(1, num_columns))


def _marks(grid: Grid) -> list[tuple[float, float, str]]:
    num_rows, num_columns = grid.verdicts.shape
    if grid.verdicts.size > MAX_MARKED:
        return []
    letters = [*MARKS.values()]
    return [
        (
            (column + 0.5) / num_columns,
            (row + 0.5) / num_rows,
            letters[grid.verdicts[row, column]],
        )
        for row, column in np.argwhere(grid.verdicts > 0).tolist()
    ]
