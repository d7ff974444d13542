"""Rows to a picture: how many of the attackers each rule finds under each attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from verdicts.averages import Rows, means

WIDTH_OF_COLUMN, HEIGHT_OF_ROW = 0.62, 0.26
DARK_BELOW = 0.55


def draw(rows: Rows, output: Path) -> None:
    """Draw one panel for each model and label skew, and write the picture."""
    panels = sorted(
        {(row["model"], float(row["alpha"])) for row in rows},
        key=lambda panel: (panel[0], -panel[1]),
    )
    rules, attacks = _names(rows, "rule"), _names(rows, "attack")
    width = 1.9 + len(panels) * (len(rules) * WIDTH_OF_COLUMN + 0.2)
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(width, 1.6 + len(attacks) * HEIGHT_OF_ROW),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (model, alpha) in zip(axes[0], panels, strict=True):
        chosen = [
            row
            for row in rows
            if row["model"] == model and float(row["alpha"]) == alpha
        ]
        _panel(axis, means(chosen, "recall"), rules, attacks)
        axis.set_title(f"{model}, alpha = {alpha:g}", fontsize=10)
    figure.suptitle("Share of the attackers that are dropped", fontsize=11)
    figure.savefig(output, dpi=150)
    plt.close(figure)


def _names(rows: Rows, column: str) -> list[str]:
    return list(dict.fromkeys(row[column] for row in rows if row["recall"]))


def _panel(
    axis: Axes,
    values: Mapping[tuple[str, str], float],
    rules: Sequence[str],
    attacks: Sequence[str],
) -> None:
    missing = float("nan")
    grid = [[values.get((a, r), missing) for r in rules] for a in attacks]
    axis.imshow(grid, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(rules)), rules, rotation=60, ha="right", fontsize=8)
    axis.set_yticks(range(len(attacks)), attacks, fontsize=8)
    for y, line in enumerate(grid):
        for x, value in enumerate(line):
            color = "white" if value < DARK_BELOW else "black"
            text = "" if value != value else f"{100 * value:.0f}"  # noqa: PLR0124
            axis.text(x, y, text, ha="center", va="center", fontsize=7, color=color)
