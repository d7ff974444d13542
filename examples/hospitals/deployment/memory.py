"""Processes to bytes: the most memory that each kind of process was seen to use."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import psutil


class PeakMemory:
    """Keeps the largest resident set size seen so far, by name."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    def look(self, name: str, processes: Iterable[psutil.Process]) -> None:
        """Look at the processes of one name; those that have ended are passed over."""
        for process in processes:
            with suppress(psutil.Error):
                resident = process.memory_info().rss
                self.bytes[name] = max(self.bytes.get(name, 0), resident)
