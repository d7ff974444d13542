"""Draw the paper's Figs. 3, 4 and 5 from a grid's results, and write their tables.

Run ``python examples/bloodmnist/draw_figures.py --help`` for its options.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from bloodmnist.figures import draw_all
from bloodmnist.grid import GridError, read_grid
from bloodmnist.rows import Row, read_rows
from bloodmnist.summary import summarise
from bloodmnist.tables import list_lines, write_csv, write_markdown
from rich.console import Console

GRIDS = Path(__file__).resolve().parent / "grids"


def choose_profile(rows: list[Row], profile: str) -> str:
    """Return the profile to draw: the one asked for, or the only one there is."""
    found = sorted({row.cell.profile for row in rows})
    if not found:
        raise GridError("there are no results yet")
    if profile in found:
        return profile
    if not profile and len(found) == 1:
        return found[0]
    raise GridError(f"there are results of {found}: choose one with --profile")


def main(
    results: Annotated[
        Path, typer.Argument(exists=True, help="CSV file that run_grid.py writes.")
    ],
    *,
    output: Annotated[
        Path, typer.Option(help="Folder for pictures and tables.")
    ] = Path(),
    profile: Annotated[str, typer.Option(help="Which profile's results to draw.")] = "",
    grid: Annotated[
        Path | None,
        typer.Option(help="What was to be run; the profile's grid if not given."),
    ] = None,
) -> None:
    """Draw the finished cells of RESULTS; what is missing is shown as missing."""
    console = Console(highlight=False)
    try:
        rows = read_rows(results)
        profile = choose_profile(rows, profile)
        grid = grid or GRIDS / f"{profile}.toml"
        planned = read_grid(grid).cells if grid.exists() else ()
    except GridError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(code=2) from error

    outcomes = summarise(row for row in rows if row.cell.profile == profile)
    lines = list_lines(outcomes, planned)
    output.mkdir(parents=True, exist_ok=True)
    paths = draw_all(output, outcomes)
    write_csv(output / "summary.csv", lines)
    write_markdown(output / "summary.md", lines)
    paths += [output / "summary.csv", output / "summary.md"]
    num_finished = sum(line.num_seeds for line in lines)
    console.print(f"{num_finished} finished cells, {len(planned)} planned")
    for path in paths:
        console.print(str(path), markup=False, soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
