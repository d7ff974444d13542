"""Which models work with the plugin: each is played in real Flower rounds.

Run ``python examples/benchmarks/compatibility/run_compatibility.py --help``. Six
clients train each model for two rounds with `VirtualConsistencyStrategy` around FedAvg,
with its defaults; one sends its update reversed and twenty times as long. Writes a row
for each model; those that are in the file are not run again.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer
from compatibility.apart import played_apart
from compatibility.catalogue import catalogue
from compatibility.playing import FIELDS
from rich.progress import track
from rows import Rows


def main(
    *,
    output: Annotated[Path, typer.Option(help="The CSV.")] = Path("compatibility.csv"),
    only: Annotated[
        list[str] | None, typer.Option(help="Name of a model; may be repeated.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Seconds for each model.")] = 600,
) -> None:
    """Run what is missing in the CSV."""
    rows = Rows(output, FIELDS)
    known = {row["name"] for row in rows.read()}
    chosen = [name for name in catalogue() if not only or name in only]
    commit = _commit()
    for name in track([n for n in chosen if n not in known], description="models"):
        rows.append({**played_apart(name, limit), "commit": commit})
    rows.show()


def _commit() -> str:
    """Name the state of the source that is run, if it is under version control."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False
    ).stdout.strip()


if __name__ == "__main__":
    typer.run(main)
