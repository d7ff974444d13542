"""A federation in one process: Flower's own loops and strategies, no network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.common import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.serverapp import Grid
from torch import nn

with suppress(ImportError):  # flwr before 1.30 asks for no identity
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1

Client = Callable[[RecordDict, str], RecordDict | Error]
"""What a client answers to the content of a message of a type."""

Arrays = dict[str, np.ndarray]


def arrays_of(model: nn.Module) -> Arrays:
    """Give a model's state as arrays by name."""
    return {k: v.numpy().copy() for k, v in model.state_dict().items()}


def record_of(arrays: Arrays) -> ArrayRecord:
    """Pack arrays into a record."""
    return ArrayRecord({k: Array(np.asarray(v)) for k, v in arrays.items()})


def content(
    arrays: Arrays | None = None,
    metrics: Mapping[str, Any] | None = None,
    **records: Any,
) -> RecordDict:
    """Make the content of a reply, whole unless told otherwise."""
    given: dict[str, Any] = {}
    if arrays is not None:
        given["arrays"] = record_of(arrays)
    given["metrics"] = MetricRecord(
        {"num-examples": 10, "train_loss": 1.0} if metrics is None else dict(metrics)
    )
    return RecordDict({**given, **records})


def request(node_id: int, body: RecordDict, message_type: str = "train") -> Message:
    """Make a message to a node."""
    message = Message(body, dst_node_id=node_id, message_type=message_type)
    message.metadata.__dict__["_message_id"] = f"message-{node_id}"
    return message


def reply(node_id: int, body: RecordDict | Error) -> Message:
    """Make the reply of a node."""
    return Message(body, reply_to=request(node_id, RecordDict()))


def honest_update(arrays: Arrays, client: int, scale: float = 0.05) -> Arrays:
    """Move along a direction that all clients share, and a little along their own."""
    shared, own = np.random.default_rng(0), np.random.default_rng(1000 + client)

    def moved(values: np.ndarray) -> np.ndarray:
        if values.dtype.kind != "f":
            return values + 1
        step = shared.normal(size=values.shape) + 0.3 * own.normal(size=values.shape)
        return (values + scale * step).astype(values.dtype)

    return {key: np.asarray(moved(values)) for key, values in arrays.items()}


def reversed_update(arrays: Arrays, client: int) -> Arrays:
    """Move against the honest direction."""
    honest = honest_update(arrays, client)
    return {
        key: 2 * values - honest[key] if values.dtype.kind == "f" else values
        for key, values in arrays.items()
    }


def honest_client(client: int) -> Client:
    """Answer every message as an honest client would."""

    def answer(body: RecordDict, message_type: str) -> RecordDict:
        metrics = {"num-examples": 10 + client, "train_loss": 1.0 + client / 10}
        if message_type != "train":
            return content(None, metrics)
        arrays = {k: a.numpy() for k, a in body["arrays"].items()}
        return content(honest_update(arrays, client), metrics)

    return answer


class InProcessGrid(Grid):
    """Carry messages to functions instead of nodes, in order, without a network."""

    def __init__(self, clients: Mapping[int, Client]) -> None:
        self.clients = dict(clients)

    def set_run(self, run: Any) -> None:
        """Ignore the run."""

    @property
    def run(self) -> Any:
        """There is none."""
        raise NotImplementedError

    def create_message(self, *_: Any, **__: Any) -> Message:
        """Be unused by strategies."""
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        """Give the ids of all clients."""
        return list(self.clients)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Be unused by strategies."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Be unused by strategies."""
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], **_: Any
    ) -> Iterable[Message]:
        """Let each client answer, by order of node id."""
        asked = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        return [self._answer(message) for message in asked]

    def _answer(self, message: Message) -> Message:
        client = self.clients[message.metadata.dst_node_id]
        answer = client(message.content, message.metadata.message_type)
        message.metadata.__dict__["_message_id"] = "asked"
        return Message(answer, reply_to=message)


def configured(strategy: Any, arrays: Arrays, num_clients: int = 2) -> Any:
    """Let a Message strategy configure round 1, which shows it the global model."""
    grid = InProcessGrid(
        {node: honest_client(node) for node in range(1, num_clients + 1)}
    )
    strategy.configure_train(1, record_of(arrays), ConfigRecord(), grid)
    return strategy


class LegacyClient(ClientProxy):
    """A legacy client proxy that computes in place."""

    def __init__(self, client: int, update: Callable[[Arrays, int], Arrays]) -> None:
        super().__init__(str(client))
        self.client = client
        self.update = update

    def fit(self, ins: FitIns, *_: Any, **__: Any) -> FitRes:
        """Update the parameters."""
        named = dict(enumerate(parameters_to_ndarrays(ins.parameters)))
        return fit_result(list(self.update(named, self.client).values()))

    def evaluate(self, ins: EvaluateIns, *_: Any, **__: Any) -> EvaluateRes:
        """Claim a loss."""
        return EvaluateRes(Status(Code.OK, ""), 1.0, 10, {})

    def get_properties(self, *_: Any, **__: Any) -> Any:
        """Be unused."""
        raise NotImplementedError

    def get_parameters(self, *_: Any, **__: Any) -> Any:
        """Be unused."""
        raise NotImplementedError

    def reconnect(self, *_: Any, **__: Any) -> Any:
        """Be unused."""
        raise NotImplementedError


def fit_result(
    arrays: Sequence[np.ndarray],
    num_examples: Any = 10,
    metrics: dict[str, Any] | None = None,
) -> FitRes:
    """Make a legacy result."""
    return FitRes(
        Status(Code.OK, ""),
        ndarrays_to_parameters(list(arrays)),
        num_examples,
        metrics or {},
    )


def legacy_configured(strategy: Any, arrays: Arrays) -> Any:
    """Let a legacy strategy configure round 1, which shows it the global model."""
    manager = SimpleClientManager()
    for client in range(2):
        manager.register(LegacyClient(client, honest_update))
    parameters = ndarrays_to_parameters(list(arrays.values()))
    strategy.configure_fit(1, parameters, manager)
    return strategy


def legacy_aggregate(
    strategy: Any, results: Sequence[tuple[ClientProxy, FitRes]]
) -> list[np.ndarray] | None:
    """Aggregate one legacy round."""
    parameters, _ = strategy.aggregate_fit(1, list(results), [])
    return None if parameters is None else parameters_to_ndarrays(parameters)


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Build a model with reproducible weights, leaving the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
