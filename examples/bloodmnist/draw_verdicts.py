"""Draw the heatmap of verdicts that `judge_rules.py` wrote, and print the averages.

Run ``python examples/bloodmnist/draw_verdicts.py --help`` for its options.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer
from bloodmnist.bench.heatmap import draw, false_drops, num_rounds, overall
from rich.console import Console
from rich.table import Table


def main(
    verdicts: Annotated[
        list[Path], typer.Argument(exists=True, help="CSV files of verdicts.")
    ],
    *,
    output: Annotated[Path, typer.Option(help="Picture to write.")] = Path(
        "verdicts.png"
    ),
    max_malicious: Annotated[
        int, typer.Option(help="Leave out rounds with more attackers of ten.")
    ] = 3,
) -> None:
    """Average the recall over all rounds, by attack and rule."""
    rows = [
        row
        for path in verdicts
        for row in csv.DictReader(path.read_text().splitlines())
        if int(row["num_malicious"]) <= max_malicious
    ]
    draw(rows, output)
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    table = Table("model", "alpha", "attackers", "rounds", *rules, "auto, no attack")
    columns = ("model", "alpha", "num_malicious")
    for setting in sorted({tuple(row[name] for name in columns) for row in rows}):
        chosen = [r for r in rows if tuple(r[name] for name in columns) == setting]
        found = overall(chosen)
        shares = [f"{found[rule]:.1%}" if rule in found else "" for rule in rules]
        dropped = f"{false_drops(chosen, 'hardened, auto'):.1%} dropped"
        table.add_row(*setting, f"{num_rounds(chosen)}", *shares, dropped)
    Console(width=200).print(table)


if __name__ == "__main__":
    typer.run(main)
