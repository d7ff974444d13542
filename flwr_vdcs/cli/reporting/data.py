"""Ledger to data: what the page's script needs to know, as plain values."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from flwr_vdcs.cli.reading.labels import printable
from flwr_vdcs.cli.reading.line import VERDICTS
from flwr_vdcs.cli.reporting.charts.grid import Grid
from flwr_vdcs.cli.reporting.histories import History
from flwr_vdcs.cli.reporting.ledger import Entry, Ledger
from flwr_vdcs.cli.reporting.words.text import moment

DIGITS = 6
"""Of a score: more than anybody reads."""


def data_of(ledger: Ledger, histories: Sequence[History], grid: Grid) -> dict[str, Any]:
    """Give decisions, rounds and clients by their places in the ledger."""
    of_id = {each.client_id: each for each in histories}
    rows = [
        [
            row.entry,
            of_id[row.decision.client_id].place,
            VERDICTS.index(row.decision.verdict),
            _short(row.decision.score),
            printable(row.decision.reason),
        ]
        for row in ledger.rows
    ]
    shown = {row.decision.client_id for row in ledger.rows}
    clients = [of_id[client_id] for client_id in shown] + grid.clients
    entries = {row.entry for row in ledger.rows} | {*grid.columns}
    return {
        "verdicts": VERDICTS,
        "clients": {each.place: each.label for each in clients},
        "ids": {each.place: printable(each.client_id) for each in clients},
        "entries": {place: _told(ledger.entries[place]) for place in sorted(entries)},
        "rows": rows,
        "grid": {
            "clients": [each.place for each in grid.clients],
            "columns": grid.columns,
            "verdicts": grid.verdicts.tolist(),
            "scores": [
                [_short(score) for score in row] for row in grid.scores.tolist()
            ],
        },
    }


def _told(entry: Entry) -> list[Any]:
    line = entry.line
    return [
        entry.number,
        entry.run,
        line.server_round,
        line.phase,
        moment(line.time),
        line.report_only,
    ]


def _short(score: float | None) -> float | None:
    if score is None or np.isnan(score):
        return None
    return float(f"{score:.{DIGITS}g}")
