"""Round reports to the audit log: JSON Lines, one line a round."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from flwr_vdcs.errors import AuditLogError
from flwr_vdcs.report import RoundReport


class AuditLog:
    """Append a line for each report, at once, so that a kill loses none.

    The file is opened anew for every line, so it may be rotated between rounds.

    Raises
    ------
    AuditLogError
        If the file cannot be opened for appending.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._open().close()
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
            line = f"{fresh}{_to_json(report)}\n".encode()
            if file.write(line) != len(line):
                raise OSError("the disk took only part of the line")

    def _open(self) -> IO[bytes]:
        return self.path.open("ab+", buffering=0)


def _to_json(report: RoundReport) -> str:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"time": time, **report.to_dict()}, allow_nan=False)


def _ends_within_a_line(file: IO[bytes]) -> bool:
    if not file.seekable() or file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
