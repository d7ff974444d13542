"""A CSV that is added to, row by row, and knows what it has."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


class Rows:
    """The rows of a CSV, one for each federation.

    Parameters
    ----------
    path : Path
        The file; written with a head line with the first row.
    fields : sequence of str
        The columns.
    """

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self.path, self.fields = path, fields

    def read(self) -> list[Row]:
        """Read the federations that have been run."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def missing(self, federations: Iterable[Row]) -> list[Row]:
        """Leave out those federations that have been run."""
        known = self.read()
        return [
            each
            for each in federations
            if not any(all(row[k] == str(v) for k, v in each.items()) for row in known)
        ]

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row."""
        self.extend([row])

    def extend(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write some rows at once."""
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.fields, lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerows(rows)

    def show(self) -> None:
        """Print the table."""
        table = Table(*self.fields)
        for row in self.read():
            table.add_row(*(row[field] for field in self.fields))
        Console(width=140).print(table)
