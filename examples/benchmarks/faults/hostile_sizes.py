"""Send the plugin replies of hostile sizes, and measure what examining them takes.

Run ``python examples/benchmarks/faults/hostile_sizes.py --help`` for its options.
Linux only: it is the system that tells the peak of a process's memory.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import typer
from faults.measuring import Cost, measure
from faults.sizes import CASES
from rich.console import Console
from rich.progress import track
from rich.table import Table

COLUMNS = (
    "reply of one of ten clients",
    "sent MiB",
    "verdict",
    "characters of the reason",
    "processor seconds",
    "times an honest round",
    "peak MiB",
    "peak MiB beyond an honest round",
)


def rows_of(costs: Sequence[Cost]) -> list[tuple[str | int, ...]]:
    """Relate every case to the first, the honest one."""
    honest = costs[0]
    return [
        (
            cost.case,
            f"{cost.sent_mib:.1f}",
            cost.verdict,
            cost.reason_length,
            f"{cost.seconds:.4f}",
            f"{cost.seconds / honest.seconds:.2f}",
            f"{cost.peak_mib:.1f}",
            f"{cost.peak_mib - honest.peak_mib:.1f}",
        )
        for cost in costs
    ]


def main(
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to write.")
    ] = Path("hostile-sizes.csv"),
) -> None:
    """Measure every case in a process of its own."""
    console = Console()
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        costs = list(
            track(pool.map(measure, CASES), "Measuring", len(CASES), console=console)
        )
    rows = rows_of(costs)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*map(str, row))
    console.print(table)
    with output.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    console.print(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
