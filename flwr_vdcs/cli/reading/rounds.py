"""Lines to rounds: numbered through over all runs of the server."""

from dataclasses import dataclass

from flwr_vdcs.cli.reading.line import Line

PHASES = ("train", "aggregate", "evaluate")
"""In the order in which a round goes through them."""


@dataclass(frozen=True)
class LoggedRound:
    """A line of the log and its place in it.

    Attributes
    ----------
    number : int
        The round, counted on where a later run starts again at 1.
    run : int
        Which run of the server it belongs to, starting from 1.
    line : Line
        What was written.
    """

    number: int
    run: int
    line: Line


class Numbering:
    """Count rounds through.

    A new run begins where the id of the run changes, or the server's rounds start
    again; lines of 0.1 have no id.
    """

    def __init__(self) -> None:
        self._number, self._run, self._offset = 0, 1, 0
        self._last: tuple[int, int] | None = None
        self._id: str | None = None

    def place(self, line: Line) -> LoggedRound:
        """Give the next line its place."""
        place = (line.server_round, PHASES.index(line.phase))
        run_id = line.run.id if line.run else None
        is_other = None not in {run_id, self._id} and run_id != self._id
        if self._last and (is_other or place <= self._last):
            self._run, self._offset = self._run + 1, self._number
        self._number, self._last = self._offset + line.server_round, place
        self._id = run_id
        return LoggedRound(self._number, self._run, line)
