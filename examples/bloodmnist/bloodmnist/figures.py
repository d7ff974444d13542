"""Panels to pictures: the paper's Figs. 3, 4 and 5, its own numbers beside ours.

The paper shows the maximum test accuracy of a run. So do these, and beside it the
accuracy after the last round, which is what a user is left with. A bar goes from the
lowest to the highest seed. A cross below zero stands for what was not run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bloodmnist.panel import MARKS, Attack, Axis, Panel, Series
from bloodmnist.reported import ALL, ALPHAS, FRACTIONS
from bloodmnist.summary import Outcomes

# Okabe and Ito's palette, which colour-blind readers can tell apart, and two more.
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILION, PURPLE, BLACK = "#D55E00", "#CC79A7", "#000000"
OLIVE, GREY = "#999933", "#777777"

NAMES = ("FedAvg", "FedProx", "FedDyn", "FedRS", "FedSAM", "FedSpeed")
TMP = Attack("TMP, authors' code", "tmp-authors")
UMP = Attack("UMP, Eqs. 11 and 12", "ump-paper")
TMP_CLEAN = Attack("TMP, Eqs. 9 and 10,\nclean labels", "tmp-paper")
TMP_FLIPPED = Attack("TMP, Eqs. 9 and 10,\nflipped labels", "tmp-paper", "flipped")

BY_FRACTION = Axis(
    "p, share of poisoned clients",
    ("0", *(f"{fraction:g}" for fraction in FRACTIONS)),
    (0.0, *FRACTIONS),
    (10.0,) * (1 + len(FRACTIONS)),
)
BY_ALPHA = Axis(
    r"$\log_{10}\,\alpha$ of the label skew",
    tuple(f"{math.log10(alpha):g}" for alpha in ALPHAS),
    (0.3,) * len(ALPHAS),
    ALPHAS,
)
NOTE = "With the plugin and p = 0, M = 3 honest clients are dropped every round."
NOTE_3 = (
    "The baselines aggregate what FedAvg's clients send, and assume M = 3 at p = 0."
)

LOOKS = (
    *((BLACK, "o"), (ORANGE, "s"), (SKY, "^")),
    *((GREEN, "v"), (BLUE, "D"), (PURPLE, "P")),
)
UNDEFENDED = tuple(
    Series(name, algorithm, "none", "", *look)
    for name, algorithm, look in zip(NAMES, ALL, LOOKS, strict=True)
)
BASELINES = (
    Series("Krum", "fedavg", "krum", "", VERMILION, "X"),
    Series("trimmed mean", "fedavg", "trimmed-mean", "", OLIVE, "<"),
    Series("Fang (Union)", "fedavg", "fang-union", "", GREY, ">"),
)


def draw_all(folder: Path, outcomes: Outcomes) -> list[Path]:
    """Draw every picture of one profile into the folder, and return their paths."""
    paper, own = (TMP, UMP), (TMP_CLEAN, TMP_FLIPPED)
    pictures = {
        "figure-3": draw_methods(outcomes, paper, (*UNDEFENDED, *BASELINES)),
        "figure-3-tmp": draw_methods(outcomes, own, (UNDEFENDED[0], *BASELINES)),
        "figure-4": draw_algorithms(outcomes, 4, BY_FRACTION),
        "figure-4-fedavg": draw_fedavg(outcomes, 4, BY_FRACTION),
        "figure-5": draw_algorithms(outcomes, 5, BY_ALPHA),
        "figure-5-fedavg": draw_fedavg(outcomes, 5, BY_ALPHA),
    }
    paths = []
    for name, picture in pictures.items():
        paths.append(folder / f"{name}.png")
        picture.savefig(paths[-1], dpi=110)
    return paths


def draw_methods(
    outcomes: Outcomes, attacks: Sequence[Attack], series: tuple[Series, ...]
) -> Figure:
    """Draw Fig. 3: algorithms without defense, and baselines, by share of poisoned."""
    panels = [
        [
            Panel(outcomes, attack, series, BY_FRACTION, 3, (measure,))
            for attack in attacks
        ]
        for measure in ("maximum", "last")
    ]
    return draw_picture(
        "Fig. 3: methods without the plugin",
        panels,
        columns=[attack.title for attack in attacks],
        rows=["maximum accuracy, %", "last round's accuracy, %"],
        note=NOTE_3,
    )


def draw_algorithms(outcomes: Outcomes, number: int, axis: Axis) -> Figure:
    """Draw Fig. 4 or 5 in the paper's layout: a column for every algorithm."""
    attacks = (TMP, UMP)
    return draw_picture(
        f"Fig. {number}: with and without plugin",
        [
            [Panel(outcomes, attack, list_ways(outcomes, a), axis, number) for a in ALL]
            for attack in attacks
        ],
        columns=NAMES,
        rows=[f"{attack.title}\naccuracy, %" for attack in attacks],
        note=NOTE if axis is BY_FRACTION else "",
    )


def draw_fedavg(outcomes: Outcomes, number: int, axis: Axis) -> Figure:
    """Draw Fig. 4 or 5 for FedAvg alone: a column for every attack."""
    attacks, series = (TMP, UMP, TMP_CLEAN, TMP_FLIPPED), list_ways(outcomes, "fedavg")
    return draw_picture(
        f"Fig. {number} for FedAvg: with and without plugin",
        [[Panel(outcomes, attack, series, axis, number) for attack in attacks]],
        columns=[attack.title for attack in attacks],
        rows=["accuracy, %"],
        note=NOTE if axis is BY_FRACTION else "",
    )


def list_ways(outcomes: Outcomes, algorithm: str) -> tuple[Series, ...]:
    """List the ways to run an algorithm; hardened scoring where anything used it."""
    ways = (
        Series("without plugin", algorithm, "none", "", VERMILION, "s"),
        Series("plugin, paper scoring", algorithm, "vdcs", "paper", BLUE, "o"),
        Series("plugin, hardened scoring", algorithm, "vdcs", "hardened", GREEN, "^"),
    )
    hardened = any(cell.scoring == "hardened" for cell in outcomes)
    return ways if hardened else ways[:2]


def draw_picture(
    title: str,
    panels: Sequence[Sequence[Panel]],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    note: str,
) -> Figure:
    """Draw panels in a grid, with one legend below them all."""
    num_rows, num_columns = len(panels), len(panels[0])
    width = max(11, 2.6 * num_columns)
    figure = Figure(figsize=(width, 3.1 * num_rows + 1.6), layout="constrained")
    figure.suptitle(title, fontsize=14)
    grid = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False)
    for line, row in zip(grid, panels, strict=True):
        for axes, panel in zip(line, row, strict=True):
            panel.draw(axes)
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(column)
    for axes, row in zip(grid[:, 0], rows, strict=True):
        axes.set_ylabel(row)
    for axes in grid[-1]:
        axes.set_xlabel(panels[0][0].axis.title)
    handles = list_handles(panels[0][0])
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=int(width // 2.2),
        frameon=False,
        title=note,
    )
    return figure


def list_handles(panel: Panel) -> list[Line2D]:
    """List what the legend explains: the series, then the marks."""
    series = [
        Line2D([], [], color=each.color, marker=each.marker, label=each.title)
        for each in panel.series
    ]
    both = len(panel.measures) > 1
    hidden = set() if both else {"last", "maximum"}
    return series + [mark for name, mark in MARKS.items() if name not in hidden]
