"""Cells to rows: runs of the engine, some at once, that can be ended and gone on with.

The engine is a module that runs one cell: ``python -m ENGINE --config FILE`` reads a
run config from a JSON file and writes a line a round to the file that it names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from filelock import FileLock, Timeout

from bloodmnist.grid import Cell, Grid, GridError
from bloodmnist.rows import Row, Table, read_line

APP = Path(__file__).resolve().parents[1]
ENGINE = "bloodmnist.engine"
LOG_TAIL_LINES = 15
SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True)
class Failure:
    """A cell that did not do what it was started for.

    Parameters
    ----------
    cell : Cell
        Which one.
    problem : str
        What was wrong with it.
    log : Path
        All it wrote.
    """

    cell: Cell
    problem: str
    log: Path

    def __str__(self) -> str:
        """Say what failed, then show the end of the log."""
        lines = self.log.read_text(errors="replace").splitlines()
        tail = "\n".join(f"  {line}" for line in lines[-LOG_TAIL_LINES:])
        head = f"{self.cell.name} failed: {self.problem}. End of {self.log}:"
        return f"{head}\n{tail or '  (empty)'}"


class Watcher(Protocol):
    """Is told what happens, to show it or to write it down."""

    def started(self, cell: Cell) -> None:
        """Take note that a cell was started."""

    def measured(self, row: Row) -> None:
        """Take note of a round."""

    def ended(self, cell: Cell, failure: Failure | None) -> None:
        """Take note that a cell has ended, well if there is no failure."""


class RunError(Exception):
    """A run has failed; the message says how."""


@dataclass
class Run:
    """A cell that is running.

    Parameters
    ----------
    cell : Cell
        Which one.
    process : subprocess.Popen
        The engine.
    results : Path
        Where the engine writes a line a round.
    log : Path
        Where everything else that it says goes.
    """

    cell: Cell
    process: subprocess.Popen[bytes]
    results: Path
    log: Path
    problem: str = ""
    rows: list[Row] = field(default_factory=list)
    last_row: float = field(default_factory=time.monotonic)

    @property
    def silent_seconds(self) -> float:
        """How long ago the last row came, or the start if there is none."""
        return time.monotonic() - self.last_row

    def read_new(self, grid: Grid) -> list[Row]:
        """Read the whole lines that were not read before."""
        if not self.results.exists():
            return []
        lines = self.results.read_text().splitlines(keepends=True)[len(self.rows) :]
        try:
            new = [read_line(grid, self.cell, x) for x in lines if x.endswith("\n")]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"its results cannot be read: {error!r}") from error
        if new:
            self.rows += new
            self.last_row = time.monotonic()
        return new

    def end(self) -> None:
        """End the engine and all it started, each by its id."""
        if self.process.poll() is None:
            end_family(self.process.pid)
            self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()


@dataclass(frozen=True)
class Runner:
    """Runs cells of a grid, and puts every round into the table as it comes.

    The row of a cell's last round is written when its engine has ended well: it is
    what makes the cell a finished one.

    Parameters
    ----------
    grid : Grid
        The settings that its cells share.
    table : Table
        Where the rows go.
    folder : Path
        Where each cell has its run config, its results file and its log.
    num_jobs : int
        How many cells run at once, each in a process of its own.
    max_silent_seconds : float
        A cell that finishes no round for so long is ended: it has failed.
    engine : str
        The module that runs a cell.
    """

    grid: Grid
    table: Table
    folder: Path
    num_jobs: int = 1
    max_silent_seconds: float = 3600
    engine: str = ENGINE

    def run(self, cells: Iterable[Cell], watchers: Sequence[Watcher]) -> list[Failure]:
        """Run the cells in their order and return those that failed."""
        waiting, running = deque(cells), list[Run]()
        failures = []
        try:
            while waiting or running:
                while waiting and len(running) < self.num_jobs:
                    running.append(self._start(waiting.popleft()))
                    for watcher in watchers:
                        watcher.started(running[-1].cell)
                time.sleep(SECONDS_BETWEEN_LOOKS)
                for run in [each for each in running if self._ends(each, watchers)]:
                    running.remove(run)
                    run.end()
                    failure = Failure(run.cell, run.problem, run.log)
                    failures += [failure] if run.problem else []
                    for watcher in watchers:
                        watcher.ended(run.cell, failure if run.problem else None)
        finally:
            for run in running:
                run.end()
        return failures

    def _start(self, cell: Cell) -> Run:
        """Start the engine in a session of its own, where Ctrl-C does not reach it."""
        config, results, log = (
            self.folder.absolute() / f"{cell.file_name}.{suffix}"
            for suffix in ("json", "jsonl", "log")
        )
        results.unlink(missing_ok=True)
        settings = self.grid.shared | cell.run_config | {"results": str(results)}
        config.write_text(json.dumps(settings, indent=2) + "\n")
        command = [sys.executable, "-m", "bloodmnist.leash", self.engine]
        command += ["--config", str(config)]
        command += ["--num-supernodes", str(self.grid.num_supernodes)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=make_environment(),
                start_new_session=True,
            )
        return Run(cell, process, results, log)

    def _ends(self, run: Run, watchers: Sequence[Watcher]) -> bool:
        """Take the new rows of a run; say whether it has ended, well or not."""
        try:
            return self._advance(run, watchers)
        except RunError as error:
            run.problem = str(error)
            return True

    def _advance(self, run: Run, watchers: Sequence[Watcher]) -> bool:
        code = run.process.poll()  # before reading: nothing is written after the end
        for row in run.read_new(self.grid):
            if row.number < self.grid.num_rounds:
                self._take(row, watchers)
        if code is None:
            if run.silent_seconds > self.max_silent_seconds:
                raise RunError(f"no round in {self.max_silent_seconds:g} seconds")
            return False
        if code:
            raise RunError(f"the engine ended with exit code {code}")
        if [row.number for row in run.rows] != list(range(self.grid.num_rounds + 1)):
            done = max(len(run.rows) - 1, 0)
            raise RunError(f"{done} of {self.grid.num_rounds} rounds were finished")
        self._take(run.rows[-1], watchers)
        return True

    def _take(self, row: Row, watchers: Sequence[Watcher]) -> None:
        self.table.append(row)
        for watcher in watchers:
            watcher.measured(row)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Let nobody else run the grid whose files lie in the folder.

    Raises
    ------
    GridError
        If somebody already does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout as error:
        raise GridError(f"another process is running the grid of {folder}") from error


def count_cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return os.cpu_count() or 1


def make_environment() -> dict[str, str]:
    """Return this process's environment with what the engine needs."""
    paths = [str(APP), os.environ.get("PYTHONPATH", "")]
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
    }
    return dict(os.environ) | settings


def end_family(pid: int) -> None:
    """Ask a process and its descendants to end, then make them."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=5)
        for member in alive:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(alive, timeout=5)
