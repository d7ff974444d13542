"""Decisions to labels: what a client is called in Flower's log."""

from flwr_vdcs.errors import quoted
from flwr_vdcs.history import LastClients
from flwr_vdcs.report import Decision


class Labels:
    """Call a client by its node's name, with the id beside it when first mentioned."""

    def __init__(self) -> None:
        self._ids: LastClients[str] = LastClients()

    def of(self, decision: Decision) -> str:
        """Give a client's label; two nodes of one name are told apart by their ids."""
        name, client_id = decision.name, printable(decision.client_id)
        if not name:
            return client_id
        if self._ids.get(name) == client_id:
            return printable(name)
        if name not in self._ids:
            self._ids.note(name, client_id)
        return f"{printable(name)} ({client_id})"


def printable(text: str) -> str:
    """Keep a client from writing lines of its own into the log."""
    return text if text.isprintable() else quoted(text)
