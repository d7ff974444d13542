"""Scored to track records: what a scoring remembers of each client over the rounds.

A scoring judges one round at a time. What it wants to know again of a client, some
numbers, stands here until that client's next update is scored.
"""

from collections.abc import Mapping
from typing import Any

from flwr_vdcs.history._counts import checked_number, is_usable
from flwr_vdcs.history._last_clients import LastClients

Record = Mapping[str, float]
"""What is remembered of one client, by name."""


class TrackRecords:
    """Keep what a scoring remembers, over the rounds and over restarts."""

    def __init__(self) -> None:
        self._records: LastClients[Record] = LastClients()

    def of(self, client_id: str) -> Record:
        """Give a client's record, an empty one if there is none."""
        return self._records.get(client_id, {})

    def note(self, client_id: str, record: Record) -> None:
        """Replace a record; one with a number beyond reckoning leaves the old."""
        if all(map(is_usable, record.values())):
            self._records.note(client_id, record)

    def forget(self, client_id: str) -> bool:
        """Remember nothing of a client; tell whether there was anything."""
        return self._records.pop(client_id, None) is not None

    def state_dict(self) -> dict[str, Any]:
        """Give all as plain values, for JSON."""
        return {client_id: dict(record) for client_id, record in self._records.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        AttributeError, TypeError, ValueError
            If it is no state of track records; then nothing is changed.
        """
        records: LastClients[Record] = LastClients()
        for client_id, row in state.items():
            record = {str(name): checked_number(value) for name, value in row.items()}
            records.note(str(client_id), record)
        self._records = records
