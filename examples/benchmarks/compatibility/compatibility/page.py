"""Rows to the tables of the page: one for each kind of model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from compatibility.playing import FAILS, MISSING, REFUSED, WORKS

Row = Mapping[str, str]

BEGIN = "% tables: begin\n"
END = "% tables: end\n"
"""The lines of the page that what is made stands between."""

HEADER = "| model | what you write | what travels | result | the attacker |\n"
HEADER += "| --- | --- | --- | --- | --- |\n"


def tables(rows: Iterable[Row]) -> str:
    """Write a sentence with the counts, then a table for each kind."""
    known = [row for row in rows if row["result"] != MISSING]
    by_kind = groupby(known, key=lambda row: row["kind"])
    parts = [_table(kind, list(group)) for kind, group in by_kind]
    return "\n".join([_counts(known), *parts])


def with_tables(page: str, rows: Iterable[Row]) -> str:
    """Put the tables into the page, in the place of those that are there."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables(rows)}\n{END}{after}"


def _counts(rows: Sequence[Row]) -> str:
    """Count what works, with how much, and what does not."""
    results = [row["result"] for row in rows]
    num_plain = sum(row["result"] == WORKS and not _needs(row) for row in rows)
    return (
        f"Of {len(rows)} entries {results.count(WORKS)} work, {num_plain} of them with "
        f"nothing but the shape; {results.count(REFUSED)} are refused and "
        f"{results.count(FAILS)} fail.\n"
    )


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


def _needs(row: Row) -> list[str]:
    """Name the arguments that had to be given besides model and shape."""
    given = re.findall(r"\b(\w+)=", row["written"])
    return [name for name in given if name not in ("model", "input_shape")]


def _result(row: Row) -> str:
    if row["instead"]:
        return f"{row['result']}: {_cell(row['instead'])}"
    needs = " and ".join(f"`{name}`" for name in _needs(row))
    return f"{row['result']} with {needs}" if needs else row["result"]


def _release(version: str) -> str:
    """Leave out how a library was built."""
    return version.partition("+")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
