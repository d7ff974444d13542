"""Run config to results file, in one process: the same apps, without Ray.

``python -m bloodmnist.engine --config FILE.json`` runs what ``flwr run`` would, with
the settings in the file. Clients train one after the other, in the order of their
partitions; all that they and the server exchange are Flower's own messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

from bloodmnist import client_app, server_app
from bloodmnist.run_config import RunConfig, with_defaults


class ProcessGrid(Grid):
    """Carry messages to a client app in this process, by node id.

    Parameters
    ----------
    app : ClientApp
        What every node runs.
    contexts : Mapping[int, Context]
        Every node's context by its id; its state lasts as long as the run.
    """

    def __init__(self, app: ClientApp, contexts: Mapping[int, Context]) -> None:
        self.app = app
        self.contexts = contexts
        self.message_ids = count(1)

    def send_and_receive(
        self, messages: Iterable[Message], **_: Any
    ) -> Iterable[Message]:
        """Let each node answer; an error of a client ends the run."""
        asked = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        return [self._ask(message) for message in asked]

    def get_node_ids(self) -> Iterable[int]:
        """Give the ids of all nodes."""
        return list(self.contexts)

    def _ask(self, message: Message) -> Message:
        # Flower's link gives a message its id; a reply cannot be made without one.
        message.metadata.__dict__["_message_id"] = f"message-{next(self.message_ids)}"
        return self.app(message, self.contexts[message.metadata.dst_node_id])

    def set_run(self, run: Any) -> None:
        """Take no run: there is one only."""

    @property
    def run(self) -> Any:
        """There is none."""
        raise NotImplementedError

    def create_message(self, *_: Any, **__: Any) -> Message:
        """Be unused: apps make their messages themselves."""
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Be unused: there is nobody to wait for."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Be unused: there is nobody to wait for."""
        raise NotImplementedError


def run_in_process(run_config: RunConfig, num_supernodes: int) -> None:
    """Run the app in this process.

    Parameters
    ----------
    run_config : RunConfig
        The settings that differ from the app's defaults.
    num_supernodes : int
        Number of clients; node 1 holds partition 0, and so on.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    config = with_defaults(run_config)
    contexts = {
        node: _make_context(
            node,
            config,
            {"partition-id": node - 1, "num-partitions": num_supernodes},
        )
        for node in range(1, num_supernodes + 1)
    }
    _take_identity()
    grid = ProcessGrid(client_app.app, contexts)
    server_app.app(grid, _make_context(0, config, {}))


def _make_context(
    node_id: int, run_config: dict[str, Any], node_config: dict[str, Any]
) -> Context:
    return Context(
        run_id=1,
        node_id=node_id,
        node_config=node_config,
        state=RecordDict(),
        run_config=dict(run_config),
    )


def _take_identity() -> None:
    """Give this process the identity that Flower asks of those who make messages."""
    with suppress(ImportError):  # flwr before 1.30 asks for none
        from flwr.supercore.task_identity import TaskIdentity

        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1


def main(
    *,
    config: Annotated[
        Path, typer.Option(help="JSON file of settings that are not the default.")
    ],
    num_supernodes: Annotated[int, typer.Option(min=3, help="How many clients.")] = 10,
) -> None:
    """Run the app in one process, without Ray."""
    run_in_process(json.loads(config.read_text()), num_supernodes)


if __name__ == "__main__":
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command()(main)
    command()
