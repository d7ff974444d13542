"""Audit log to table: each hospital's verdict in each round, with its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

STYLES = {"dropped": "bold red", "quarantined": "bold magenta", "banned": "bold red"}


def lay_out_audit(rounds: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out one line for each hospital and round.

    Parameters
    ----------
    rounds : Sequence
        Lines of the audit log.
    """
    table = Table("round", "hospital", "verdict", title="Audit")
    table.add_column("score", justify="right")
    table.add_column("reason")
    for line in rounds:
        for decision in sorted(line["decisions"], key=_name):
            score, verdict = decision["score"], decision["verdict"]
            table.add_row(
                str(line["server_round"]),
                _literal(_name(decision)),
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


def _name(decision: Mapping[str, Any]) -> str:
    """Give the name of the registration, or the client id of a node without one."""
    return str(decision["name"] or decision["client_id"])
