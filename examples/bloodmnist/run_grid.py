"""Run a grid of cells, each round a row of a CSV file; start it again to go on.

Run ``python examples/bloodmnist/run_grid.py --help`` for its options.
"""

from __future__ import annotations

import signal
import sys
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from bloodmnist.grid import Cell, Grid, GridError, Value, read_grid
from bloodmnist.rows import Row, Table, finished_cells, read_rows
from bloodmnist.runner import ENGINE, Failure, Runner, Watcher, count_cores, lock
from bloodmnist.scalars import Scalars
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    TextColumn("{task.percentage:.0f} %"),
    TimeElapsedColumn(),
    TextColumn("left"),
    TimeRemainingColumn(),
)
# Cells take different times: estimate the time left from the last hours, not seconds.
SPEED_ESTIMATE_SECONDS = 4 * 3600


class Display:
    """One bar for all cells and one for each that is running; a line for each ended.

    Parameters
    ----------
    progress : Progress
        Where to draw.
    grid : Grid
        What there is to run.
    num_finished : int
        How many of its cells were finished before.
    """

    def __init__(self, progress: Progress, grid: Grid, num_finished: int) -> None:
        self.progress, self.num_ended = progress, num_finished
        self.num_cells, self.num_steps = len(grid.cells), grid.num_rounds + 1
        self.accuracies: dict[Cell, float] = {}
        self.bars: dict[Cell, TaskID] = {}
        self.total = progress.add_task(
            "all cells",
            total=self.num_cells * self.num_steps,
            completed=num_finished * self.num_steps,
        )

    def started(self, cell: Cell) -> None:
        """Add a bar."""
        self.bars[cell] = self.progress.add_task(cell.name, total=self.num_steps)

    def measured(self, row: Row) -> None:
        """Move the bar of all cells and the cell's own."""
        self.accuracies[row.cell] = row.measured.accuracy
        self.progress.advance(self.bars[row.cell])
        self.progress.advance(self.total)

    def ended(self, cell: Cell, failure: Failure | None) -> None:
        """Replace the bar by a line; a failed cell's other rounds will not come."""
        bar, total = self._find(self.bars.pop(cell)), self._find(self.total)
        self.num_ended += 1
        self.progress.update(self.total, total=total.total - bar.remaining)
        said = "FAILED" if failure else f"{self.accuracies[cell]:.1%}"
        left = total.time_remaining
        hours = "" if left is None else f", about {left / 3600:.1f} h left"
        self.progress.console.print(
            f"{self.num_ended} of {self.num_cells}: {cell.name}: {said} "
            f"in {bar.elapsed:.0f} s{hours}",
            soft_wrap=True,
        )
        self.progress.remove_task(bar.id)

    def _find(self, task_id: TaskID) -> Task:
        return next(task for task in self.progress.tasks if task.id == task_id)


def parse_setting(text: str) -> tuple[str, Value]:
    """Split ``key=value``; a value that is no TOML is a string."""
    key, separator, value = text.partition("=")
    if not separator:
        raise GridError(f"cannot read the setting {text!r}: write key=value")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def list_cells(console: Console, grid: Grid, output: Path) -> None:
    """Print every cell in its order, and whether it is finished."""
    finished = finished_cells(read_rows(output)) & {*grid.cells}
    for number, cell in enumerate(grid.cells, start=1):
        state = "finished" if cell in finished else "to do"
        console.print(f"{number:4}  {state:9} {cell.name}", soft_wrap=True)
    console.print(f"{len(finished)} of {len(grid.cells)} cells are finished")


def run_cells(console: Console, runner: Runner, watchers: list[Watcher]) -> None:
    """Run what is not finished; end with an error if a cell fails."""
    grid, finished = runner.grid, runner.table.finished
    progress = Progress(
        *COLUMNS, console=console, speed_estimate_period=SPEED_ESTIMATE_SECONDS
    )
    display = Display(progress, grid, len(finished))
    cells = [cell for cell in grid.cells if cell not in finished]
    with progress:
        failures = runner.run(cells, [display, *watchers])
    for failure in failures:
        console.print(str(failure), markup=False, soft_wrap=True)
    if failures:
        console.print(
            f"{len(failures)} of {len(cells)} cells failed; start again to retry"
        )
        raise typer.Exit(code=1)


def main(
    grid_file: Annotated[
        Path, typer.Argument(metavar="GRID", exists=True, help="File of cells to run.")
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            help="CSV file to add the results to. A folder beside it, with -cells for "
            "its suffix, takes every cell's run config, decisions and log."
        ),
    ] = Path("results.csv"),
    data_path: Annotated[
        str, typer.Option(help='Path of bloodmnist.npz, or "digits".')
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: a run config entry for all cells."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="Cells to run at once; 0: one a core.")
    ] = 0,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard's scalars.")
    ] = None,
    max_silent_minutes: Annotated[
        float, typer.Option(help="End a cell that finishes no round for so long.")
    ] = 60,
    list_only: Annotated[
        bool, typer.Option("--list", help="List the cells, and run none.")
    ] = False,
    engine: Annotated[
        str, typer.Option(hidden=True, help="Module that runs a cell.")
    ] = ENGINE,
) -> None:
    """Run the cells of GRID that OUTPUT does not have yet."""
    console = Console(highlight=False)
    folder = output.with_name(f"{output.stem}-cells")
    try:
        overrides = dict(map(parse_setting, settings or []))
        overrides |= {"data-path": data_path} if data_path else {}
        grid = read_grid(grid_file, overrides)
        if list_only:
            list_cells(console, grid, output)
            return
        with lock(folder):
            watchers = [Scalars(tensorboard)] if tensorboard else []
            table = Table(output, grid)
            silence, num_jobs = 60 * max_silent_minutes, jobs or count_cores()
            runner = Runner(grid, table, folder, num_jobs, silence, engine)
            run_cells(console, runner, watchers)
    except GridError as error:
        console.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(code=2) from error
    except KeyboardInterrupt as error:
        console.print("Stopped; the same command goes on from here")
        raise typer.Exit(code=128 + signal.SIGINT) from error


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    typer.run(main)
