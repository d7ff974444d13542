"""Ledger to a grid: one cell for each client and round, as many as can be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flwr_vdcs.cli.reporting.histories import History
from flwr_vdcs.cli.reporting.ledger import Ledger

MAX_CLIENTS = 100
MAX_ROUNDS = 1_000
MAX_CELLS = 20_000
"""So many are drawn: the clients that need attention first, and the last rounds."""

NOT_ASKED = -1


@dataclass(frozen=True)
class Grid:
    """What happened to whom and when, as rows of clients and columns of rounds.

    Attributes
    ----------
    clients : list of History
        The rows.
    columns : list of int
        The places of the rounds in the ledger.
    rounds : list of int
        Their numbers.
    new_runs : list of int
        The columns in which the second and later runs begin.
    verdicts : array
        Places of the verdicts, -1 where a client was not asked. Of several in one round
        the severest.
    scores : array
        Scores, NaN where there are none.
    left_out : tuple of int
        How many clients and rounds are not drawn.
    """

    clients: list[History]
    columns: list[int]
    rounds: list[int]
    new_runs: list[int]
    verdicts: np.ndarray
    scores: np.ndarray
    left_out: tuple[int, int]


def grid_of(ledger: Ledger, histories: Sequence[History]) -> Grid:
    """Lay out the training rounds."""
    num_drawn = min(len(histories), MAX_CLIENTS)
    trained = [
        place
        for place, entry in enumerate(ledger.entries)
        if entry.line.phase == "train"
    ]
    columns = trained[-min(MAX_ROUNDS, MAX_CELLS // num_drawn) :]
    clients = _chosen(ledger, histories, columns)
    row_of = _indices([each.place for each in clients], len(ledger.names))
    column_of = _indices(columns, len(ledger.entries))
    rows, cells = row_of[ledger.client], column_of[ledger.entry]
    drawn = np.flatnonzero((rows >= 0) & (cells >= 0))
    by_severity = drawn[np.argsort(ledger.verdict[drawn], kind="stable")]
    verdicts = np.full((len(clients), len(columns)), NOT_ASKED, np.int8)
    scores = np.full(verdicts.shape, np.nan)
    at = (rows[by_severity], cells[by_severity])
    verdicts[at] = ledger.verdict[by_severity]
    scores[at] = ledger.score[by_severity]
    runs = [ledger.entries[column].run for column in columns]
    return Grid(
        clients=clients,
        columns=columns,
        rounds=[ledger.entries[column].number for column in columns],
        new_runs=(np.flatnonzero(np.diff(runs)) + 1).tolist(),
        verdicts=verdicts,
        scores=scores,
        left_out=(len(histories) - len(clients), len(trained) - len(columns)),
    )


def _chosen(
    ledger: Ledger, histories: Sequence[History], columns: Sequence[int]
) -> list[History]:
    """Choose the clients to draw; of too many, those in the rounds that are drawn."""
    if len(histories) <= MAX_CLIENTS:
        return [*histories]
    seen = {*ledger.client[np.isin(ledger.entry, columns)].tolist()}
    return sorted(histories, key=lambda each: each.place not in seen)[:MAX_CLIENTS]


def _indices(places: Sequence[int], length: int) -> np.ndarray:
    """Tell where each place stands among some, -1 for those that do not."""
    found = np.full(length, NOT_ASKED)
    found[places] = np.arange(len(places))
    return found
