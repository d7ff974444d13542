"""Print averages of verdicts that `judge_rules.py` wrote.

Run ``python examples/benchmarks/verdicts/tabulate_verdicts.py --help`` for its options.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from verdicts.averages import (
    Rows,
    false_drops,
    num_rounds,
    open_attacks,
    overall,
    rows_where,
)

SETTING = ("model", "alpha", "num_clients", "num_malicious")
COLUMNS = ("model", "alpha", "clients", "attackers", "rounds", "rule")
COLUMNS += ("attackers dropped", "honest dropped", "damage", "dropped without attack")


def main(
    verdicts: Annotated[
        list[Path], typer.Argument(exists=True, help="CSV files of verdicts.")
    ],
    *,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="Only this attack; may be repeated. [all that do not hide]"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="All that do not hide but this one; may be repeated."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="column=value: only such rows; may be repeated. Several values of one "
            "column are alternatives."
        ),
    ] = None,
) -> None:
    """Average over attacks and rounds, by setting and rule."""
    rows = [
        row
        for path in verdicts
        for row in csv.DictReader(path.read_text().splitlines())
    ]
    try:
        rows = rows_where(rows, where or [])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--where") from error
    attacks = attack or [n for n in open_attacks(rows) if n not in (without or [])]
    table = Table(*COLUMNS)
    for setting in sorted({tuple(row[name] for name in SETTING) for row in rows}):
        chosen = [r for r in rows if tuple(r[name] for name in SETTING) == setting]
        for line in list_lines(chosen, attacks):
            table.add_row(*setting, f"{num_rounds(chosen)}", *line)
    Console(width=140).print(table)


def list_lines(rows: Rows, attacks: Collection[str]) -> Iterator[tuple[str, ...]]:
    """Give a line for each rule that drops clients."""
    honest = overall(rows, "false_drops", attacks)
    damage = overall(rows, "damage", attacks)
    for rule, recall in overall(rows, "recall", attacks).items():
        measured = f"{damage[rule]:.2f}" if rule in damage else ""
        numbers = f"{recall:.1%}", f"{honest[rule]:.2f}", measured
        yield rule, *numbers, f"{false_drops(rows, rule):.1%}"


if __name__ == "__main__":
    typer.run(main)
