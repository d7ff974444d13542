"""Names to nodes: which hospitals the SuperLink lets in, and which are there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from deployment.commands import ask
from deployment.layout import Layout


@dataclass(frozen=True)
class Registry:
    """The hospitals that are registered at a SuperLink.

    Parameters
    ----------
    layout : Layout
        Where the node ids are noted, and how the SuperLink is reached.
    """

    layout: Layout

    def register(self, name: str, public_key: Path) -> None:
        """Register a hospital's public key under its name, unless it is already."""
        nodes = self.node_ids()
        if name in nodes:
            return
        answer = ask(
            self.layout, "supernode", "register", str(public_key), "--name", name
        )
        nodes[name] = str(answer["node-id"])
        self.layout.registrations.write_text(json.dumps(nodes, indent=2) + "\n")

    def node_ids(self) -> dict[str, str]:
        """Return the registered hospitals' node ids by name."""
        path = self.layout.registrations
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def online(self) -> dict[str, datetime]:
        """Ask the SuperLink which hospitals are online, and since when.

        A SuperNode that was killed counts as online for up to a minute.
        """
        nodes = ask(self.layout, "supernode", "list")["nodes"]
        since = {
            node["node-id"]: datetime.fromisoformat(node["online-at"])
            for node in nodes
            if node["status"] == "online"
        }
        return {
            name: since[node_id]
            for name, node_id in self.node_ids().items()
            if node_id in since
        }
