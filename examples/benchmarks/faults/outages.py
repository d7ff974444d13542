"""Make parts of a real deployment fail, and count what is lost.

Run ``python examples/benchmarks/faults/outages.py --help`` for its options. It
uses the launcher of ``examples/hospitals``; every trial takes some minutes.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hospitals"))

from deployment.signals import exit_on_signals
from faults.outages import TRIALS
from faults.outcome import Outcome

COLUMNS = ("trial", "repeat", *(field.name for field in fields(Outcome)))


def finished(output: Path) -> set[tuple[int, str]]:
    """Read which trials the file has."""
    if not output.exists():
        return set()
    with output.open(newline="") as file:
        return {(int(row["repeat"]), row["trial"]) for row in csv.DictReader(file)}


def main(
    *,
    repeats: Annotated[int, typer.Option(min=1, help="How often each trial.")] = 3,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to add to.")
    ] = Path("outages.csv"),
) -> None:
    """Run every trial that the file lacks; one that fails ends the program."""
    exit_on_signals()
    console = Console()
    done = finished(output)
    plan = [(number, name) for number in range(1, repeats + 1) for name in TRIALS]
    plan = [trial for trial in plan if trial not in done]
    with output.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            writer.writeheader()
        for number, name in track(plan, "Trials", console=console):
            with tempfile.TemporaryDirectory(prefix="outages-") as folder:
                found = TRIALS[name](Path(folder))
            writer.writerow({"trial": name, "repeat": number} | asdict(found))
            file.flush()
            console.print(f"{name}: {found}", highlight=False)
    console.print(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
