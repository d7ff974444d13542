"""Rows to scalars, for those who watch a grid with TensorBoard."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from bloodmnist.grid import Cell, GridError
from bloodmnist.rows import Row

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from bloodmnist.runner import Failure


class Scalars:
    """Writes what every round measured, a TensorBoard run for each cell.

    Parameters
    ----------
    folder : Path
        The folder to show with ``tensorboard --logdir``.

    Raises
    ------
    GridError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise GridError(
                "--tensorboard needs TensorBoard: pip install tensorboard"
            ) from error
        self.folder, self.new_writer = folder, SummaryWriter
        self.writers: dict[Cell, SummaryWriter] = {}

    def started(self, cell: Cell) -> None:
        """Open the cell's run."""
        folder = self.folder / cell.file_name
        self.writers[cell] = self.new_writer(folder, purge_step=0)

    def measured(self, row: Row) -> None:
        """Write every number that was measured."""
        writer = self.writers[row.cell]
        for name, value in asdict(row.measured).items():
            if value is not None:
                writer.add_scalar(name, value, row.number)
        writer.flush()

    def ended(self, cell: Cell, _failure: Failure | None) -> None:
        """Close the cell's run."""
        self.writers.pop(cell).close()
