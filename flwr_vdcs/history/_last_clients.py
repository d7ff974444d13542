"""Client ids to what is known of them, in a memory that clients cannot fill."""

from typing import Generic, TypeVar

Known = TypeVar("Known")

MAX_CLIENTS = 10_000
"""So many clients are remembered; those that were noted longest ago are forgotten."""


class LastClients(dict[str, Known], Generic[Known]):
    """What is known of each client, by its id, in the order of their last notes."""

    def note(self, client_id: str, known: Known) -> None:
        """Replace what is known of a client, and forget one if that is one too many."""
        self.pop(client_id, None)
        self[client_id] = known
        if len(self) > MAX_CLIENTS:
            del self[next(iter(self))]
