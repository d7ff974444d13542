"""Round reports to the audit log: JSON Lines, each line bound to the one before."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from flwr_vdcs.errors import AuditLogError
from flwr_vdcs.records.holding import HeldError, Hold
from flwr_vdcs.report import RoundReport
from flwr_vdcs.verification import BEGINNING, line_hash

BLOCK = 1 << 16


class AuditLog:
    """Append a line for each report, at once, so that a kill loses none.

    Each line carries the SHA-256 of the line before, so that a line changed, removed
    or put in later shows. The file is opened anew for every line, so it may be rotated
    between rounds, after a full disk too; the first line of the new file carries the
    hash of what was written last into the old one.

    Raises
    ------
    AuditLogError
        If the file cannot be opened for appending, or another server writes to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._head: str | None = None
        try:
            self._open().close()
            self._hold = Hold(self.path)
        except HeldError as error:
            raise AuditLogError(path, error) from error
        except OSError as error:
            raise AuditLogError(path, error.strerror or error) from error

    def append(self, report: RoundReport) -> None:
        """Write one line; a line that an earlier write left torn is ended first.

        Raises
        ------
        OSError
            If the line could not be written whole.
        """
        with self._open() as file:
            fresh = "\n" if _ends_within_a_line(file) else ""
            head = self._head or _head_of(file)
            line = _to_json(report, head)
            try:
                _write(file, f"{fresh}{line}\n".encode())
            except OSError:
                left = file.seek(0, os.SEEK_END)
                self._head = _head_of(file) if left else head
                raise
            self._head = line_hash(line.encode())

    def _open(self) -> IO[bytes]:
        return self.path.open("ab+", buffering=0)


def _write(file: IO[bytes], data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError("the disk took only part of the line")


def _to_json(report: RoundReport, previous: str) -> str:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    fields = {"time": time, **report.to_dict(), "previous": previous}
    return json.dumps(fields, allow_nan=False)


def _ends_within_a_line(file: IO[bytes]) -> bool:
    if not file.seekable() or file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _head_of(file: IO[bytes]) -> str:
    """Hash the last line of the file, torn or whole."""
    if not file.seekable() or file.seek(0, os.SEEK_END) == 0:
        return BEGINNING
    return line_hash(_last_line(file))


def _last_line(file: IO[bytes]) -> bytes:
    """Read backwards to the newline before the last line."""
    start, line = file.seek(0, os.SEEK_END), b""
    while start and b"\n" not in line[:-1]:
        start = max(0, start - BLOCK)
        file.seek(start)
        line = file.read()
    return line.removesuffix(b"\n").rpartition(b"\n")[2]
