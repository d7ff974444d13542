"""Lines to verification: the chain of hashes, followed through the files of a log."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flwr_vdcs.verification.chain import BEGINNING, line_hash

START = b'{"time": "'
"""How every line begins, torn or whole."""


@dataclass(frozen=True)
class Verification:
    """What became of a log's chain of hashes.

    Attributes
    ----------
    num_lines : int
        Lines read, up to and with the broken one.
    head : str
        Hash of the last line read, to be compared with one that was kept elsewhere: the
        chain itself cannot tell that lines were cut off at its end.
    broken_path : Path or None
        The file with the first line that does not follow the line before.
    broken_line : int or None
        The number of that line in its file, from 1.
    problem : str
        What is wrong with it; empty if every line follows.
    notes : tuple of str
        What is no break, but worth knowing.
    """

    num_lines: int
    head: str
    broken_path: Path | None = None
    broken_line: int | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every line follows the line before."""
        return not self.problem


def verify(paths: Sequence[Path]) -> Verification:
    """Follow the chain of hashes through one log, rotated or not.

    Parameters
    ----------
    paths
        The files of the log, the oldest first.

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    chain = _Chain()
    for path in paths:
        for number, line in _numbered_lines(path):
            problem = chain.follow(line, f"{path.name}, line {number}")
            if problem:
                return chain.so_far(path, number, problem)
    return chain.so_far()


@dataclass
class _Chain:
    """The lines followed until now."""

    num_lines: int = 0
    head: str = BEGINNING
    notes: list[str] = field(default_factory=list)

    def follow(self, line: bytes, place: str) -> str:
        """Go on to the next line and say what is wrong with it, if anything."""
        is_first, expected = not self.num_lines, self.head
        self.num_lines += 1
        self.head = line_hash(line)
        fields = _parsed(line)
        if fields is None and _is_torn(line):
            self.notes.append(f"{place} is torn: a write was cut off there.")
            return ""
        if fields is None:
            return "it is no line of an audit log"
        previous = fields.get("previous")
        if not isinstance(previous, str):
            return "it carries no hash of the line before"
        if is_first and previous != BEGINNING:
            self.notes.append(f"{place} continues an earlier file.")
        elif not is_first and previous != expected:
            return (
                "the line before was changed, lines were removed or put in, or the "
                "files are not the oldest first"
            )
        return ""

    def so_far(
        self, path: Path | None = None, number: int | None = None, problem: str = ""
    ) -> Verification:
        """Give the result."""
        notes = tuple(self.notes)
        return Verification(self.num_lines, self.head, path, number, problem, notes)


def _numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        yield from enumerate(file, start=1)


def _is_torn(line: bytes) -> bool:
    """Tell whether a line begins as one that was to be written.

    After a power failure its end may be zeros.
    """
    written = line.removesuffix(b"\n").rstrip(b"\0")
    return START.startswith(written[: len(START)])


def _parsed(line: bytes) -> dict[str, object] | None:
    """Read a line, if it is one that was written whole."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
