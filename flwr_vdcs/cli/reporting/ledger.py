"""Files to a ledger: what audit logs say, in columns that stay small.

A log is read line by line. Of a decision 17 bytes are kept; of its words only the last
ones.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from flwr_vdcs.cli.outcome import InputError, listed
from flwr_vdcs.cli.reading.line import REFUSED, VERDICTS, Line, read_line
from flwr_vdcs.cli.reading.rounds import LoggedRound, Numbering
from flwr_vdcs.report import Decision, Phase

MAX_ROWS = 4_000
"""So many decisions keep their words: the last refused, and the last others."""


TYPES = "IIBd"
"""Of the columns: places of round, client and verdict, and the score."""


@dataclass(frozen=True)
class Entry(LoggedRound):
    """A round without its decisions, and what they show together.

    Attributes
    ----------
    is_tied : bool
    why_skipped : str
        As in the report of the round.
    num_answers : int
        How many decisions there were.
    """

    is_tied: bool
    why_skipped: str
    num_answers: int


@dataclass(frozen=True)
class Row:
    """A decision with its words, and the place of its round in the ledger."""

    entry: int
    decision: Decision


@dataclass(frozen=True)
class Ledger:
    """Some audit logs, read as one.

    Attributes
    ----------
    entries : tuple of Entry
        What could be read, in order: training rounds, what became of some of them
        afterwards, and evaluations.
    names : dict of str to str
        What Flower called each client last, by id, in order of their first answer;
        empty where it gave no name.
    entry, client, verdict, score : array
        A number for each decision: the place of its round, of its client and of its
        verdict, and its score, NaN where there is none.
    rows : tuple of Row
        The last decisions, in order.
    num_unreadable : int
        How many lines are torn or no round of an audit log.
    """

    entries: tuple[Entry, ...]
    names: dict[str, str]
    entry: np.ndarray
    client: np.ndarray
    verdict: np.ndarray
    score: np.ndarray
    rows: tuple[Row, ...]
    num_unreadable: int

    def of(self, phase: Phase) -> list[Entry]:
        """Give the rounds of one phase."""
        return [each for each in self.entries if each.line.phase == phase]

    @property
    def is_training(self) -> np.ndarray:
        """Whether each decision was about an update."""
        phases = np.array([each.line.phase == "train" for each in self.entries])
        return np.take(phases, self.entry)

    @property
    def num_runs(self) -> int:
        """How many times the server started, as far as the log shows."""
        return self.entries[-1].run

    @property
    def is_report_only(self) -> bool:
        """Whether nothing was changed in any training round."""
        return all(each.line.report_only for each in self.of("train"))

    @property
    def is_in_order(self) -> bool:
        """Whether no line is older than the one before it."""
        times = [each.line.time for each in self.entries]
        return times == sorted(times)


def read_logs(paths: Sequence[Path]) -> Ledger:
    """Read audit logs, the oldest first, skipping lines that are no rounds.

    Raises
    ------
    InputError
        If a file cannot be read, no training round is in them, or nobody answered.
    """
    writer = Writer()
    for raw in lines_of(paths):
        writer.add(read_line(raw))
    ledger = writer.ledger()
    num_lines = len(ledger.entries) + ledger.num_unreadable
    if not ledger.of("train"):
        found = f"no readable line in {num_lines}" if num_lines else "nothing"
        found = "evaluations only" if ledger.entries else found
        raise InputError(
            f"no training round in {listed(paths)}: found {found}. Give files that "
            "were written with `audit_log=`, the oldest first."
        )
    if not ledger.entry.size:
        raise InputError(
            f"no client answered in any round of {listed(paths)}, so there is nothing "
            "to draw."
        )
    return ledger


def lines_of(paths: Sequence[Path]) -> Iterator[bytes]:
    """Give the lines of some files, but for empty ones.

    Raises
    ------
    InputError
        If a file cannot be read.
    """
    for path in paths:
        try:
            with path.open("rb") as file:
                yield from (line for line in file if line.strip())
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}.") from error


class Writer:
    """Write a ledger, line by line."""

    def __init__(self) -> None:
        self._numbering = Numbering()
        self._entries: list[Entry] = []
        self._places: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._columns: tuple[array[Any], ...] = tuple(map(array, TYPES))
        self._refused: deque[Row] = deque(maxlen=MAX_ROWS)
        self._others: deque[Row] = deque(maxlen=MAX_ROWS)
        self._num_unreadable = 0

    def add(self, line: Line | None) -> None:
        """Enter a line, or that it cannot be read."""
        if line is None:
            self._num_unreadable += 1
            return
        place = len(self._entries)
        self._entries.append(_entry(self._numbering.place(line)))
        for decision in line.decisions:
            self._enter(place, decision)

    def ledger(self) -> Ledger:
        """Give what was entered."""
        rows = sorted([*self._refused, *self._others], key=lambda row: row.entry)
        entry, client, verdict, score = (np.array(each) for each in self._columns)
        return Ledger(
            entries=tuple(self._entries),
            names=self._names,
            entry=entry,
            client=client,
            verdict=verdict,
            score=score,
            rows=tuple(rows),
            num_unreadable=self._num_unreadable,
        )

    def _enter(self, place: int, decision: Decision) -> None:
        client_id = decision.client_id
        number = self._places.setdefault(client_id, len(self._places))
        self._names[client_id] = decision.name or self._names.get(client_id, "")
        score = float("nan") if decision.score is None else decision.score
        values = (place, number, VERDICTS.index(decision.verdict), score)
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        is_refused = decision.verdict in REFUSED
        (self._refused if is_refused else self._others).append(Row(place, decision))


def _entry(logged: LoggedRound) -> Entry:
    line = logged.line
    return Entry(
        number=logged.number,
        run=logged.run,
        line=replace(line, decisions=(), bans=()),
        is_tied=line.is_tied,
        why_skipped=line.why_skipped,
        num_answers=len(line.decisions),
    )
