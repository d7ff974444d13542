"""Clients to evidence, one after the other, in the server's process."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any


class InProcess:
    """Compute the evidence here, as without an executor."""

    def map_clients(
        self,
        function: Callable[[Any, Any], Any],
        shared: Any,
        clients: Sequence[Any],
    ) -> Iterator[Any]:
        """Give what the function gives for each client, one by one."""
        for client in clients:
            yield function(shared, client)
