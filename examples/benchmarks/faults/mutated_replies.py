"""Send the plugin mutated replies of every kind, and count what becomes of them.

Run ``python examples/benchmarks/faults/mutated_replies.py --help`` for its options.
"""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from faults.plans import run_rounds
from faults.tally import BY_SETTING, COUNTS, PROBLEMS, Tally
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

NUM_SHOWN = 20


def show(tally: Tally, console: Console) -> None:
    """Print the sums, and the first of what should not have happened."""
    table = Table(*COUNTS)
    table.add_row(*(str(tally.total(name)) for name in COUNTS))
    console.print(table)
    for problem in tally.problems[:NUM_SHOWN]:
        console.print(problem, markup=False, style="red")


def main(
    *,
    replies: Annotated[
        int, typer.Option(min=1, help="How many to have judged.")
    ] = 20_000,
    seed: Annotated[int, typer.Option(help="Decides which, and how.")] = 0,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to write.")
    ] = Path("mutated-replies.csv"),
) -> None:
    """Mutate replies; exit with 1 if one of them did harm."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    gc.freeze()  # Flower's QFedAvg collects garbage at every reply
    console, tally = Console(), Tally()
    with Progress(console=console) as progress:
        bar = progress.add_task("Mutated replies", total=replies)
        for _ in run_rounds(seed, tally):
            progress.update(bar, completed=tally.num_judged)
            if tally.num_judged >= replies:
                break
    show(tally, console)
    tally.write(output)
    by_setting = output.with_stem(f"{output.stem}-by-setting")
    tally.write(by_setting, BY_SETTING)
    console.print(f"Written to {output} and {by_setting}")
    sys.exit(any(map(tally.total, PROBLEMS)))


if __name__ == "__main__":
    typer.run(main)
