"""A growing file to its new lines: appended, rotated, cut off or not there yet."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from flwr_vdcs.cli.outcome import InputError

BLOCK = 1 << 16
MAX_LINE = 1 << 26
"""Of a longer line the end is waited for, and it is given empty."""

MAX_REMEMBERED = 64
"""So many bytes before the place that was read to are compared with the file."""


class Follower:
    """Give the lines that a file got since it was last asked.

    Parameters
    ----------
    path
        The file; it may be created later, replaced by another, or emptied.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._begun = b""
        self._remembered = b""

    def new_lines(self) -> Iterator[bytes]:
        """Give each line that was ended since, without its newline.

        Raises
        ------
        InputError
            If the file is there and cannot be read.
        """
        try:
            yield from self._new_lines()
        except OSError as error:
            raise InputError(
                f"{self._path} cannot be read: {error.strerror}."
            ) from error

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
        self._file, self._begun, self._remembered = None, b"", b""

    def _new_lines(self) -> Iterator[bytes]:
        if self._file is None and not self._opened():
            return
        if self._was_rewritten():
            self._restart()
        yield from self._read()
        if self._was_replaced():
            yield from self._rest()
            if self._opened():
                yield from self._read()

    def _opened(self) -> bool:
        self.close()
        try:
            self._file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            return False
        return True

    def _read(self) -> Iterator[bytes]:
        while self._file and (block := self._file.read(BLOCK)):
            self._remembered = (self._remembered + block)[-MAX_REMEMBERED:]
            *lines, begun = block.split(b"\n")
            for line in lines:
                yield self._begun + line
                self._begun = b""
            self._begun = self._begun + begun if len(self._begun) < MAX_LINE else b""

    def _rest(self) -> Iterator[bytes]:
        """Give what a file that is gone ended with; the next one begins a line."""
        if self._begun:
            yield self._begun

    def _was_rewritten(self) -> bool:
        """Tell whether what was read is no longer there."""
        if self._file is None:
            return False
        start = self._file.tell() - len(self._remembered)
        self._file.seek(start)
        return self._file.read(len(self._remembered)) != self._remembered

    def _restart(self) -> None:
        if self._file is not None:
            self._file.seek(0)
        self._begun, self._remembered = b"", b""

    def _was_replaced(self) -> bool:
        """Tell whether the path leads to another file now."""
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file is not None and not os.path.samestat(
            there, os.fstat(self._file.fileno())
        )
