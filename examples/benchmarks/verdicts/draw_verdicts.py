"""Draw the heatmap of verdicts that `judge_rules.py` wrote.

Run ``python examples/benchmarks/verdicts/draw_verdicts.py --help`` for its options.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer
from verdicts.heatmap import draw


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


if __name__ == "__main__":
    typer.run(main)
