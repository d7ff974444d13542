"""Numbers to picture: accuracy by round, and who was dropped when."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from comparison.results import VERDICTS, Rounds, find_poisoned

# Okabe and Ito's palette, which colour-blind readers can tell apart.
LINES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#000000", "D", ":"),
    ("#009E73", "^", "-"),
)
CELLS = {
    "kept": "#E8E8E8",
    "dropped": "#E69F00",
    "quarantined": "#CC79A7",
}
POISONED = "#D55E00"


def draw(path: Path, title: str, runs: dict[str, Rounds], checked: str) -> None:
    """Draw the runs and save the picture.

    Parameters
    ----------
    path : Path
        Where to save it.
    title : str
        What was run.
    runs : dict[str, Rounds]
        The rounds of every run by its name.
    checked : str
        The name of the run whose verdicts are shown.
    """
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    figure.suptitle(title, fontsize=13)
    accuracy, space, verdicts = figure.subplots(1, 3, width_ratios=(10, 0.3, 9))
    space.set_axis_off()
    _draw_accuracy(accuracy, runs)
    _draw_verdicts(verdicts, f"Verdicts: {checked}", runs[checked])
    figure.savefig(path, dpi=150)


def _draw_accuracy(axes: Axes, runs: dict[str, Rounds]) -> None:
    for (name, rounds), (color, marker, style) in zip(runs.items(), LINES, strict=True):
        numbers = [each.number for each in rounds]
        values = [each.accuracy for each in rounds]
        axes.plot(
            numbers, values, color=color, marker=marker, linestyle=style, label=name
        )
    axes.set(title="Accuracy on held-out images", xlabel="round", ylim=(0, 1.02))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    _legend_below(axes, axes.get_lines())


def _draw_verdicts(axes: Axes, title: str, rounds: Rounds) -> None:
    judged = [each for each in rounds if each.verdicts]
    clients = sorted({client for each in judged for client in each.verdicts})
    axes.pcolormesh(
        [each.number for each in judged],
        range(len(clients)),
        [[_code(each.verdicts.get(c)) for each in judged] for c in clients],
        cmap=ListedColormap([*CELLS.values(), "white"]),
        vmin=-0.5,
        vmax=len(CELLS) + 0.5,
        edgecolors="white",
        linewidth=2,
    )
    axes.set(title=title, xlabel="round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    _label_clients(axes, clients, find_poisoned(judged))
    seen = {verdict for each in judged for verdict in each.verdicts.values()}
    shown = [v for v in VERDICTS if v in seen]
    _legend_below(axes, [Patch(color=CELLS[v], label=v) for v in shown])


def _label_clients(axes: Axes, clients: list[int], poisoned: frozenset[int]) -> None:
    names = [f"client {c}{' (poisoned)' if c in poisoned else ''}" for c in clients]
    axes.set_yticks(range(len(clients)), names)
    axes.tick_params(length=0)
    for client, label in zip(clients, axes.get_yticklabels(), strict=True):
        if client in poisoned:
            label.set(color=POISONED, weight="bold")


def _legend_below(axes: Axes, handles: list[Line2D] | list[Patch]) -> None:
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=2,
        frameon=False,
    )


def _code(verdict: str | None) -> int:
    return VERDICTS.index(verdict) if verdict else len(VERDICTS)
