"""Partition to text and picture: how many images of each class every client holds."""

from __future__ import annotations

from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

NUM_COLORS = 10


def tabulate(counts: Tensor) -> str:
    """Lay out the counts, one line a client.

    Parameters
    ----------
    counts : Tensor
        Images by client and class, shape ``(clients, classes)``.
    """
    num_classes = counts.shape[1]
    names = [f"class {label}" for label in range(num_classes)]
    lines = ["client " + " ".join(f"{name:>8}" for name in [*names, "all"])]
    for client, row in enumerate(counts.tolist()):
        numbers = " ".join(f"{number:8d}" for number in [*row, sum(row)])
        lines.append(f"{client:6d} {numbers}")
    return "\n".join(lines)


def draw(path: Path, title: str, counts: Tensor) -> None:
    """Draw the counts as stacked bars, one a client, and save the picture."""
    num_clients, num_classes = counts.shape
    figure = Figure(figsize=(8, 1.5 + 0.35 * num_clients), layout="constrained")
    axes = figure.subplots()
    starts = counts.cumsum(dim=1) - counts
    colors = colormaps["tab10" if num_classes <= NUM_COLORS else "tab20"].colors
    for label in range(num_classes):
        axes.barh(
            range(num_clients),
            counts[:, label].tolist(),
            left=starts[:, label].tolist(),
            color=colors[label],
            label=f"class {label}",
        )
    axes.set(title=title, xlabel="images", ylabel="client", yticks=range(num_clients))
    axes.invert_yaxis()
    figure.legend(loc="outside right upper", frameon=False)
    figure.savefig(path, dpi=150)
