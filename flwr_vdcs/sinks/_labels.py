"""Clients to the names of their curves: safe, one each, and so many only."""

import re

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.records import logger
from flwr_vdcs.report import Decision

MAX_LENGTH = 100

NOT_ALLOWED = re.compile(r"[^\w .-]")
"""What MLflow refuses in names, and the slash and colon, which make folders."""


class Labels:
    """Name the curves of the first clients that come, and of no more.

    A client is called by its name, or by its id where it has no name or another client
    has that name already. It keeps what it was called first.

    Parameters
    ----------
    max_clients : int
        How many clients get curves; the others are passed over, and a warning says so
        once.

    Raises
    ------
    InvalidArgumentError
        If ``max_clients`` is no int of at least 0.
    """

    def __init__(self, max_clients: int) -> None:
        is_int = isinstance(max_clients, int) and not isinstance(max_clients, bool)
        if not is_int or max_clients < 0:
            raise InvalidArgumentError("max_clients", max_clients, "an int >= 0")
        self._max_clients = max_clients
        self._labels: dict[str, str] = {}
        self._is_told = False

    def of(self, decision: Decision) -> str | None:
        """Name the curve of a client; None if it has none."""
        known = self._labels.get(decision.client_id)
        if known is not None:
            return known
        if len(self._labels) >= self._max_clients:
            self._tell()
            return None
        label = self._free(decision)
        self._labels[decision.client_id] = label
        return label

    def _free(self, decision: Decision) -> str:
        """Find a name that no other client has."""
        named = [_safe(decision.name)] if decision.name else []
        own = _safe(decision.client_id)
        numbered = (f"{own}-{number}" for number in range(2, self._max_clients + 2))
        taken = set(self._labels.values())
        return next(each for each in (*named, own, *numbered) if each not in taken)

    def _tell(self) -> None:
        if self._max_clients and not self._is_told:
            logger.warning(
                "Only the first %d clients have curves of their own. Raise "
                "`max_clients` for more.",
                self._max_clients,
            )
        self._is_told = True


def _safe(name: str) -> str:
    """Replace what some dashboard refuses, and shorten the rest."""
    return NOT_ALLOWED.sub("_", name)[:MAX_LENGTH].strip(" .") or "_"
