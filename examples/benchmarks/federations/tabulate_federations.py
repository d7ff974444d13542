"""The rows of `run_federations.py` to a table with one line for each run.

Run ``python examples/benchmarks/federations/tabulate_federations.py --help``.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer
from federations.measuring import SUMMARY, summarise
from rows import Rows


def main(
    rows: Annotated[list[Path], typer.Argument(help="CSV files of the rows.")],
    *,
    output: Annotated[Path, typer.Option(help="The table.")] = Path("summary.csv"),
) -> None:
    """Write the table, and print it."""
    found = []
    for path in rows:
        with path.open(newline="") as file:
            found += list(csv.DictReader(file))
    output.unlink(missing_ok=True)
    table = Rows(output, SUMMARY)
    for line in summarise(found):
        table.append(line)
    table.show()


if __name__ == "__main__":
    typer.run(main)
