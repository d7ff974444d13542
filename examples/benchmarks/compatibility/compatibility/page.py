"""Rows to the tables of the page: one for each kind of model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from compatibility.playing import MISSING

Row = Mapping[str, str]

BEGIN = "% tables: begin\n"
END = "% tables: end\n"
"""The lines of the page that what is made stands between."""

HEADER = "| model | what you write | what travels | result | the attacker |\n"
HEADER += "| --- | --- | --- | --- | --- |\n"


def tables(rows: Iterable[Row]) -> str:
    """Write a sentence with the counts, then a table for each kind."""
    known = [row for row in rows if row["result"] != MISSING]
    counted = Counter(row["result"] for row in known)
    counts = ", ".join(f"{number} {result}" for result, number in counted.items())
    by_kind = groupby(known, key=lambda row: row["kind"])
    parts = [_table(kind, list(group)) for kind, group in by_kind]
    return "\n".join([f"Of {len(known)} entries: {counts}.\n", *parts])


def with_tables(page: str, rows: Iterable[Row]) -> str:
    """Put the tables into the page, in the place of those that are there."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(rows)}\n{END}{after}"


def _table(kind: str, rows: Sequence[Row]) -> str:
    return f"### {kind}\n\n{HEADER}" + "".join(map(_line, rows))


def _line(row: Row) -> str:
    cells = (
        _cell(row["name"]) + f" ({row['library']} {_release(row['version'])})",
        f"`{row['written']}`",
        row["travels"],
        _result(row),
        row["attacker"],
    )
    return f"| {' | '.join(cells)} |\n"


def _result(row: Row) -> str:
    return (
        f"{row['result']}: {_cell(row['instead'])}" if row["instead"] else row["result"]
    )


def _release(version: str) -> str:
    """Leave out how a library was built."""
    return version.partition("+")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
