"""Results files to rows: one table of every round of every cell, on disk."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from bloodmnist.grid import Cell, Grid, GridError

SUFFIX_WHILE_WRITING = ".new"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one round of a run measured; None where there is nothing to measure.

    Parameters
    ----------
    accuracy : float
        Share of the test images that the global model gets right.
    loss : float | None
        Mean cross entropy on them; None if it is not finite.
    seconds : float
        How long the round took, the test included.
    recall : float | None
        Share of the poisoned clients that the defense kept out.
    precision : float | None
        Share of poisoned clients among those that it kept out.
    false_drops : int | None
        Number of honest clients that it kept out.
    """

    accuracy: float
    loss: float | None
    seconds: float
    recall: float | None
    precision: float | None
    false_drops: int | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the table.

    Parameters
    ----------
    settings : str
        What the grid calls its settings.
    cell : Cell
        What was run.
    num_rounds : int
        How many rounds the run has.
    number : int
        Which of them this is; 0 is the test of the untrained model.
    measured : Measured
        The numbers.
    """

    settings: str
    cell: Cell
    num_rounds: int
    number: int
    measured: Measured


CELL_COLUMNS = [field.name for field in fields(Cell)]
MEASURED_COLUMNS = [field.name for field in fields(Measured)]
COLUMNS = ["settings", *CELL_COLUMNS, "rounds", "round", *MEASURED_COLUMNS]


def read_line(grid: Grid, cell: Cell, line: str) -> Row:
    """Turn a line of the results file that the ServerApp writes into a row."""
    content: dict[str, Any] = json.loads(line)
    measured = Measured(
        accuracy=float(content["accuracy"]),
        loss=content["loss"],
        seconds=float(content["seconds"]),
        **rate_decisions(content["decisions"]),
    )
    return Row(
        settings=grid.settings,
        cell=cell,
        num_rounds=grid.num_rounds,
        number=int(content["round"]),
        measured=measured,
    )


def rate_decisions(decisions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare who was kept out with who is poisoned.

    Returns
    -------
    dict[str, float | int | None]
        ``recall`` (None if nobody is poisoned), ``precision`` (None if nobody was
        kept out) and ``false_drops`` (None if nobody was judged).
    """
    judged = [(d["verdict"] != "kept", bool(d["poisoned"])) for d in decisions]
    num_poisoned = sum(poisoned for _, poisoned in judged)
    num_out = sum(out for out, _ in judged)
    num_caught = sum(out and poisoned for out, poisoned in judged)
    return {
        "recall": num_caught / num_poisoned if num_poisoned else None,
        "precision": num_caught / num_out if num_out else None,
        "false_drops": num_out - num_caught if judged else None,
    }


def read_rows(path: Path) -> list[Row]:
    """Read every whole row; a line that was torn when its writer died is left out.

    Raises
    ------
    GridError
        If the first line does not name the columns of this table.
    """
    if not path.exists():
        return []
    text = path.read_text(errors="replace")
    header, *lines = text.splitlines(keepends=True) or [",".join(COLUMNS)]
    if header.strip().split(",") != COLUMNS:
        raise GridError(f"{path} is not a table of results: it begins with {header!r}")
    rows = []
    for line in lines:
        with suppress(ValueError):
            rows.append(_parse_line(line))
    return rows


def finished_cells(rows: Iterable[Row]) -> set[Cell]:
    """Return the cells with one row for round 0 and one for every round after it."""
    numbers: dict[tuple[Cell, int], list[int]] = defaultdict(list)
    for row in rows:
        numbers[row.cell, row.num_rounds].append(row.number)
    return {
        cell
        for (cell, num_rounds), found in numbers.items()
        if sorted(found) == list(range(num_rounds + 1))
    }


class Table:
    """The CSV file of a grid's results, of which every row is written at once.

    Opening it removes what a run that was ended left behind: torn lines, and the rows
    of the grid's unfinished cells. Rows of other profiles stay.

    Parameters
    ----------
    path : Path
        Where the file is or will be.
    grid : Grid
        Whose results it takes.

    Raises
    ------
    GridError
        If it has results of the grid's profile that were made with other settings.
    """

    def __init__(self, path: Path, grid: Grid) -> None:
        self.path = path
        rows = read_rows(path)
        _check_settings(path, grid, rows)
        finished = finished_cells(rows)
        self.finished = finished & set(grid.cells)
        stay = finished | {row.cell for row in rows if row.cell.profile != grid.profile}
        self._rewrite([row for row in rows if row.cell in stay])

    def append(self, row: Row) -> None:
        """Write a row to the end of the file."""
        with self.path.open("a", newline="") as file:
            _writer(file).writerow(_format(row))

    def _rewrite(self, rows: list[Row]) -> None:
        """Replace the file in one step, so that being killed meanwhile is harmless."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(self.path.name + SUFFIX_WHILE_WRITING)
        with new.open("w", newline="") as file:
            writer = _writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(_format(row) for row in rows)
        new.replace(self.path)


def _check_settings(path: Path, grid: Grid, rows: list[Row]) -> None:
    found = {row.settings for row in rows if row.cell.profile == grid.profile}
    if others := found - {grid.settings}:
        raise GridError(
            f"{path} has results of profile {grid.profile!r} with other settings "
            f"({', '.join(sorted(others))}, not {grid.settings}): name another "
            "--output, or give the profile another name"
        )


def _format(row: Row) -> list[Any]:
    """Write out a row; ``None`` becomes an empty field."""
    return [
        row.settings,
        *astuple(row.cell),
        row.num_rounds,
        row.number,
        *astuple(row.measured),
    ]


def _parse_line(line: str) -> Row:
    if not line.endswith("\n"):
        raise ValueError(f"a line was torn: {line!r}")
    values = next(csv.reader([line]))
    read = {
        name: KINDS.get(name, str)(text)
        for name, text in zip(COLUMNS, values, strict=True)
    }
    return Row(
        settings=read["settings"],
        cell=Cell(**{name: read[name] for name in CELL_COLUMNS}),
        num_rounds=read["rounds"],
        number=read["round"],
        measured=Measured(**{name: read[name] for name in MEASURED_COLUMNS}),
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _count(text: str) -> int | None:
    return int(text) if text else None


KINDS: dict[str, Callable[[str], Any]] = {
    "fraction": float,
    "num_malicious": int,
    "alpha": float,
    "seed": int,
    "rounds": int,
    "round": int,
    "accuracy": float,
    "loss": _number,
    "seconds": float,
    "recall": _number,
    "precision": _number,
    "false_drops": _count,
}


def _writer(file: Any) -> Any:
    return csv.writer(file, lineterminator="\n")
