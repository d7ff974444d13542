"""Let the plugin run for hundreds of rounds, and see whether anything grows.

Run ``python examples/benchmarks/faults/soak.py --help`` for its options.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from faults.sample import COLUMNS, Sample
from faults.soaking import ALONE, EMPTIED, PLUGIN, Soak
from faults.trends import trend
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

RUNS = (PLUGIN, EMPTIED, ALONE)
WARM_UP = 50
"""Rounds that are left out of the trends: caches and pools fill in them."""

MIN_ROUNDS = 100
ONE_IN = 8
"""The share of those online that leaves in a round."""


def watched(run: str, rounds: int, clients: int, seed: int) -> tuple[list[Sample], str]:
    """Run one soak in a process of its own, and give its samples and report's size."""
    with TemporaryDirectory() as folder, Progress() as progress:
        bar = progress.add_task(run, total=rounds)
        soak = Soak(run, Path(folder), rounds, clients, clients // ONE_IN, seed)
        soak.start(lambda: progress.advance(bar))
        return soak.samples, f"{soak.report_kibibytes():.2f}"


def summary(samples: Sequence[Sample], report_kibibytes: str) -> list[str]:
    """Put a run into the figures of a column."""
    warm = samples[WARM_UP:]
    refused = sum(s.dropped + s.quarantined + s.banned for s in samples)
    return [
        str(samples[-1].clients),
        str(refused),
        f"{samples[-1].accuracy:.3f}",
        f"{median(s.seconds for s in samples):.3f}",
        f"{median(s.examination for s in samples):.3f}",
        str(trend([s.seconds for s in warm])),
        f"{warm[0].resident_kib / 1024:.1f} to {warm[-1].resident_kib / 1024:.1f}",
        str(trend([s.resident_kib for s in warm])),
        str(trend([s.blocks for s in warm])),
        report_kibibytes,
        f"{samples[-1].log_bytes / len(samples) / 1024:.2f}",
        f"{samples[-1].state_bytes / 1024:.2f}",
    ]


FIGURES = (
    "clients seen",
    "replies refused, and clients not asked",
    "accuracy at the end",
    "seconds a round",
    "of that, the examination",
    "trend of the seconds, a round",
    f"resident MiB, from round {WARM_UP + 1} on",
    "trend of the resident KiB, a round",
    "trend of Python's memory blocks, a round",
    "KiB of reports in memory, a round",
    "KiB of the audit log, a round",
    "KiB of the saved state, at the end",
)


def main(
    *,
    rounds: Annotated[int, typer.Option(min=MIN_ROUNDS, help="How many.")] = 300,
    clients: Annotated[int, typer.Option(min=ONE_IN, help="Online at a time.")] = 30,
    seed: Annotated[int, typer.Option(help="Decides who comes and goes.")] = 0,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to write.")
    ] = Path("soak.csv"),
) -> None:
    """Run with the plugin and without, and print how memory, time and files grow."""
    console, columns, samples = Console(), [FIGURES], []
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        for run in RUNS:
            found, size = pool.submit(watched, run, rounds, clients, seed).result()
            columns.append(summary(found, size))
            samples += found
    table = Table("", *RUNS, title=f"{rounds} rounds, {clients} clients")
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    console.print(table)
    with output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(sample) for sample in samples)
    console.print(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
