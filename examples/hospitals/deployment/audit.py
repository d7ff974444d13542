"""Audit log to table: each hospital's verdict in each round, with its name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

STYLES = {"dropped": "bold red", "quarantined": "bold magenta", "banned": "bold red"}


def read_names(output: Path) -> dict[str, str]:
    """Read the hospitals' names by client id, as the ServerApp has written them."""
    return dict(json.loads((output / "nodes.json").read_text()))


def lay_out_audit(
    rounds: Sequence[Mapping[str, Any]], names: Mapping[str, str]
) -> Table:
    """Lay out one line for each hospital and round.

    Parameters
    ----------
    rounds : Sequence
        Lines of the audit log.
    names : Mapping[str, str]
        The hospitals' names by client id.
    """
    table = Table("round", "hospital", "verdict", title="Audit")
    table.add_column("score", justify="right")
    table.add_column("reason")
    for line in rounds:
        for decision in sorted(line["decisions"], key=lambda d: _name(d, names)):
            score, verdict = decision["score"], decision["verdict"]
            table.add_row(
                str(line["server_round"]),
                _literal(_name(decision, names)),
                verdict,
                "" if score is None else f"{score:.2f}",
                _literal(decision["reason"]),
                style=STYLES.get(verdict),
            )
        table.add_section()
    return table


def _literal(sent: str) -> Text:
    """Show what a client has a say in as it is: no markup, no control characters."""
    return Text(
        "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in sent)
    )


def _name(decision: Mapping[str, Any], names: Mapping[str, str]) -> str:
    client_id = str(decision["client_id"])
    return names.get(client_id, client_id)
