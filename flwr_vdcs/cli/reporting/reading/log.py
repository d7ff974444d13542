"""Files to rounds: what can be read of audit logs, numbered through."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from flwr_vdcs.cli.outcome import InputError, listed
from flwr_vdcs.report import RoundReport


@validated(
    frozen=True, kw_only=True, config=ConfigDict(strict=True, allow_inf_nan=False)
)
class Line(RoundReport):
    """A round's report, and when it was written."""

    time: AwareDatetime


READER = TypeAdapter(Line)


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


@dataclass(frozen=True)
class Log:
    """Some audit logs, read as one.

    Attributes
    ----------
    rounds : tuple of LoggedRound
        What could be read, in order; training rounds and evaluations.
    num_unreadable : int
        How many lines are torn or no round of an audit log.
    """

    rounds: tuple[LoggedRound, ...]
    num_unreadable: int

    def of(self, phase: Literal["train", "evaluate"]) -> list[LoggedRound]:
        """Give the rounds of one phase."""
        return [each for each in self.rounds if each.line.phase == phase]

    @property
    def num_runs(self) -> int:
        """How many times the server started, as far as the log shows."""
        return self.rounds[-1].run

    @property
    def is_report_only(self) -> bool:
        """Whether nothing was changed in any training round."""
        return all(each.line.report_only for each in self.of("train"))

    @property
    def is_in_order(self) -> bool:
        """Whether no line is older than the one before it."""
        times = [each.line.time for each in self.rounds]
        return times == sorted(times)


def read_log(paths: Sequence[Path]) -> Log:
    """Read audit logs, the oldest first, skipping lines that are no rounds.

    Raises
    ------
    InputError
        If a file cannot be read, no training round is in them, or nobody answered.
    """
    raw = [line for path in paths for line in _lines(path)]
    lines = [line for line in map(_parsed, raw) if line is not None]
    log = Log(tuple(numbered(lines)), len(raw) - len(lines))
    if not log.of("train"):
        found = f"no readable line in {len(raw)}" if raw else "nothing"
        found = "evaluations only" if lines else found
        raise InputError(
            f"no training round in {listed(paths)}: found {found}. Give files that "
            "were written with `audit_log=`, the oldest first."
        )
    if not any(each.line.decisions for each in log.rounds):
        raise InputError(
            f"no client answered in any round of {listed(paths)}, so there is nothing "
            "to draw."
        )
    return log


def numbered(lines: Iterable[Line]) -> Iterator[LoggedRound]:
    """Count rounds through: a new run begins where the server's rounds start again."""
    number, run, offset = 0, 1, 0
    last = (0, False)
    for line in lines:
        place = (line.server_round, line.phase == "evaluate")
        if place <= last:
            run, offset = run + 1, number
        number, last = offset + line.server_round, place
        yield LoggedRound(number, run, line)


def _lines(path: Path) -> list[bytes]:
    try:
        return [line for line in path.read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _parsed(line: bytes) -> Line | None:
    try:
        return READER.validate_json(line)
    except ValidationError:
        return None
