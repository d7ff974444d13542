"""A name or an object to the executor that it stands for."""

from flwr_vdcs.errors import InvalidArgumentError
from flwr_vdcs.executors.base import Executor
from flwr_vdcs.executors.in_process import InProcess
from flwr_vdcs.executors.ray import RayExecutor


def resolve_executor(executor: object) -> Executor:
    """Give the executor that is meant; None means this process.

    Raises
    ------
    InvalidArgumentError
        If it is neither of the names nor an object with ``map_clients``.
    MissingExtraError
        If it is ``"ray"``, and Ray is not installed.
    """
    if executor is None:
        return InProcess()
    if isinstance(executor, str) and executor == "ray":
        return RayExecutor()
    is_object = not isinstance(executor, type)
    if is_object and callable(getattr(executor, "map_clients", None)):
        chosen: Executor = executor  # type: ignore[assignment]
        return chosen
    allowed = (
        'None for this process, "ray", or an object with a method '
        "`map_clients(function, shared, clients)`"
    )
    raise InvalidArgumentError("executor", executor, allowed)
