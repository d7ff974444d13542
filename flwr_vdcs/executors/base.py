"""What an executor is: one method, which runs a function once for each client."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol


class Executor(Protocol):
    """Where the evidence of clients is computed.

    An object with this one method will do; it need not be a subclass. If it raises, or
    gives something else, the server's process computes what is missing and a warning
    says so. A strategy is copied and pickled with its executor.
    """

    def map_clients(
        self,
        function: Callable[[Any, Any], Any],
        shared: Any,
        clients: Sequence[Any],
    ) -> Iterable[Any]:
        """Give ``function(shared, client)`` for each client, in their order.

        Parameters
        ----------
        function : callable
            A function of this package. It raises only if the worker itself is broken.
        shared : object
            What all calls share: the model, the virtual samples and the global state.
            Ship it once to each worker.
        clients : sequence of object
            The updates, one for each client.

        Returns
        -------
        iterable of object
            The results, which may come one by one. All arguments and results can be
            pickled, if the model and the scoring can.
        """
        ...
