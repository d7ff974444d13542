"""The app with all hospitals in this process: no network, no Ray."""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hospitals
from flwr.app import Message
from hospitals import client_app, server_app
from hospitals.poison import poison

from tests.federation import InProcessGrid

EXAMPLE = Path(hospitals.__file__).parents[1]
NUM_HOSPITALS = 4


class NamedGrid(InProcessGrid):
    """Carry messages to hospitals in this process, whose names are registered."""

    def get_nodes(self) -> list[SimpleNamespace]:
        """Name every node but the last one, which was registered without a name."""
        names = [*(f"hospital-{node}" for node in [*self.clients][:-1]), ""]
        return [
            SimpleNamespace(node_id=node, name=name)
            for node, name in zip(self.clients, names, strict=True)
        ]

    def _answer(self, message: Message) -> Message:
        message.metadata.__dict__["_message_id"] = "asked"
        return self.clients[message.metadata.dst_node_id](message)


def read_run_config() -> dict[str, Any]:
    """Read the defaults of the app's run config."""
    pyproject = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    return dict(pyproject["tool"]["flwr"]["app"]["config"])


class SilentGrid(NamedGrid):
    """Carry messages to hospitals that never answer."""

    def send_and_receive(
        self, messages: Iterable[Message], **_: Any
    ) -> Iterable[Message]:
        """Wait in vain."""
        return []


def run_app(
    poisons: Mapping[int, Mapping[str, Any]],
    grid_of: type[NamedGrid] = NamedGrid,
    **changes: Any,
) -> Path:
    """Run the app and return the folder that it wrote to."""
    config = read_run_config() | changes

    def hospital(number: int) -> Callable[[Message], Message]:
        partition = {"partition-id": number - 1, "num-partitions": NUM_HOSPITALS}
        context = SimpleNamespace(
            run_config=config, node_config=partition | dict(poisons.get(number, {}))
        )
        return lambda message: poison(message, context, client_app.train)

    numbers = range(1, NUM_HOSPITALS + 1)
    grid = grid_of({number: hospital(number) for number in numbers})
    server_app.main(grid, SimpleNamespace(run_config=config))
    return Path(config["output"])
