"""The rows of `run_compatibility.py` to the tables of the documentation's page.

Run ``python examples/benchmarks/compatibility/tabulate_compatibility.py --help``.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer
from compatibility.page import with_tables

DOCS = Path(__file__).resolve().parents[3] / "docs"


def main(
    rows: Annotated[Path, typer.Argument(help="The CSV.")],
    *,
    page: Annotated[Path, typer.Option(help="The page to write into.")] = DOCS
    / "compatibility.md",
) -> None:
    """Write the tables into the page."""
    with rows.open(newline="") as file:
        page.write_text(with_tables(page.read_text(), list(csv.DictReader(file))))


if __name__ == "__main__":
    typer.run(main)
