"""Let a stranger flood a real deployment through its proxy, and see who survives.

Run ``python examples/benchmarks/faults/flood.py --help`` for its options. It needs
nginx and Linux, and uses the launcher of ``examples/hospitals``; it takes a quarter of
an hour.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hospitals"))

from deployment.proxy import find_nginx
from deployment.signals import exit_on_signals
from faults.flooding import PROXIES, Flooded, try_proxy

COLUMNS = ("proxy", *(field.name for field in fields(Flooded)))


def finished(output: Path) -> set[str]:
    """Read which proxies the file has."""
    if not output.exists():
        return set()
    with output.open(newline="") as file:
        return {row["proxy"] for row in csv.DictReader(file)}


def main(
    *,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The CSV file to add to.")
    ] = Path("flood.csv"),
) -> None:
    """Try each proxy that the file lacks with each flood."""
    console = Console()
    if find_nginx() is None:
        console.print("This needs nginx, which is not installed: apt install nginx")
        raise typer.Exit(code=1)
    exit_on_signals()
    done = finished(output)
    with output.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            writer.writeheader()
        for name in [each for each in PROXIES if each not in done]:
            with tempfile.TemporaryDirectory(prefix="flood-") as folder:
                for found in try_proxy(Path(folder), PROXIES[name]()):
                    row = asdict(found)
                    rounded = {
                        key: round(value, 1) if isinstance(value, float) else value
                        for key, value in row.items()
                    }
                    writer.writerow({"proxy": name} | rounded)
                    file.flush()
                    console.print(f"{name}: {found}", highlight=False)
    console.print(f"Written to {output}")


if __name__ == "__main__":
    typer.run(main)
