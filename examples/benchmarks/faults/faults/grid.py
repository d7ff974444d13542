"""Messages to replies: a grid whose nodes are functions in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress
from itertools import count
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

Node = Callable[[Message], Iterable[Message]]
"""What a node answers to a message: nothing, a reply, or several."""


class ProcessGrid(Grid):
    """Carry messages to functions, in the order of their node ids.

    Parameters
    ----------
    nodes : MutableMapping[int, Node]
        Who is online; it may change between rounds.
    """

    def __init__(self, nodes: MutableMapping[int, Node]) -> None:
        self.nodes = nodes
        self._message_ids = count(1)
        _take_identity()

    def get_node_ids(self) -> Iterable[int]:
        """Give the ids of all nodes."""
        return list(self.nodes)

    def send_and_receive(
        self, messages: Iterable[Message], **_: Any
    ) -> Iterable[Message]:
        """Let each node answer."""
        asked = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        return [reply for message in asked for reply in self._ask(message)]

    def _ask(self, message: Message) -> Iterable[Message]:
        # Flower's link gives a message its id; a reply cannot be made without one.
        message.metadata.__dict__["_message_id"] = f"message-{next(self._message_ids)}"
        return self.nodes[message.metadata.dst_node_id](message)

    def set_run(self, run: Any) -> None:
        """Take no run: there is one only."""

    @property
    def run(self) -> Any:
        """There is none."""
        raise NotImplementedError

    def create_message(self, *_: Any, **__: Any) -> Message:
        """Be unused: strategies make their messages themselves."""
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Be unused: there is nobody to wait for."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Be unused: there is nobody to wait for."""
        raise NotImplementedError


def _take_identity() -> None:
    """Give this process the identity that Flower asks of those who make messages."""
    with suppress(ImportError):  # flwr before 1.30 asks for none
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
