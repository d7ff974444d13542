"""Round reports to the audit log: JSON Lines, one line a round."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from flwr_vdcs.errors import AuditLogError
from flwr_vdcs.report import RoundReport


class AuditLog:
    """Append a line for each report, at once, so that a kill loses none.

    Raises
    ------
    AuditLogError
        If the file cannot be opened for appending.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise AuditLogError(path, error.strerror or error) from error
        self._is_torn = _ends_within_a_line(self.path)

    def append(self, report: RoundReport) -> None:
        """Write one line.

        Raises
        ------
        OSError
            If the line could not be written whole; the next one starts afresh.
        """
        fresh = "\n" if self._is_torn else ""
        line = f"{fresh}{_to_json(report)}\n".encode()
        self._is_torn = True
        if self._file.write(line) != len(line):
            raise OSError("the disk took only part of the line")
        self._is_torn = False


def _to_json(report: RoundReport) -> str:
    time = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"time": time, **report.to_dict()}, allow_nan=False)


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
