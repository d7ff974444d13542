"""Let a minority answer with rubbish in every round, and count the rounds that train.

Run ``python examples/benchmarks/faults/minority.py --help`` for its options.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import astuple, fields
from pathlib import Path
from typing import Annotated

import torch
import typer
from faults.minorities import BROKEN, MINORITIES, Case, Count, count
from rich.console import Console
from rich.progress import track
from rich.table import Table

COLUMNS = [column.name for kind in (Case, Count) for column in fields(kind)]


def main(
    *,
    rounds: Annotated[
        int, typer.Option(min=1, help="How many, with clients that send NaN.")
    ] = 300,
    private_rounds: Annotated[
        int, typer.Option(min=1, help="How many, with differential privacy.")
    ] = 100,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to write.")
    ] = Path("minority.csv"),
) -> None:
    """Count the rounds that train, and the bans."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    console, table = Console(), Table(*COLUMNS)
    cases = [(case, rounds) for case in MINORITIES]
    cases += [(case, private_rounds) for case in BROKEN]
    with output.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for case, num_rounds in track(cases, "Cases", console=console):
            row = [*astuple(case), *astuple(count(case, num_rounds))]
            writer.writerow(row)
            file.flush()
            table.add_row(*map(str, row))
    console.print(table)
    console.print(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
