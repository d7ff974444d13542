"""The rows of `run_federations.py` to a table with one line for each run.

Run ``python examples/benchmarks/federations/tabulate_federations.py --help``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from federations.measuring import (
    FALSE_ALARMS,
    SUMMARY,
    Row,
    count_false_alarms,
    summarise,
)
from rows import Rows


def main(
    rows: Annotated[list[Path], typer.Argument(help="CSV files of the rows.")],
    *,
    output: Annotated[Path, typer.Option(help="The table.")] = Path("summary.csv"),
    false_alarms: Annotated[
        Path | None, typer.Option(help="A table of false alarms, if it is wanted.")
    ] = None,
) -> None:
    """Write the tables, and print them."""
    found = []
    for path in rows:
        with path.open(newline="") as file:
            found += list(csv.DictReader(file))
    write(output, SUMMARY, summarise(found))
    if false_alarms:
        write(false_alarms, FALSE_ALARMS, count_false_alarms(found))


def write(path: Path, fields: Sequence[str], lines: Iterable[Row]) -> None:
    """Write a table, and print it."""
    path.unlink(missing_ok=True)
    table = Rows(path, fields)
    table.extend(lines)
    table.show()


if __name__ == "__main__":
    typer.run(main)
