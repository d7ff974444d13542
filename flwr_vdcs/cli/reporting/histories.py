"""Ledger to histories: what became of each client's updates over the rounds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from flwr_vdcs.cli.reading.labels import labels_of
from flwr_vdcs.cli.reading.line import REFUSED, VERDICTS
from flwr_vdcs.cli.reporting.ledger import Ledger


@dataclass(frozen=True)
class History:
    """One client over all rounds.

    Attributes
    ----------
    place : int
        Of the client in the ledger.
    client_id, label : str
        Its id, and what it is called on the page.
    counts : dict of str to int
        How often it had each verdict in training.
    evaluations : int
        How often its answer to an evaluation was quarantined.
    first, last : datetime
        The times of its decisions.
    """

    place: int
    client_id: str
    label: str
    counts: Mapping[str, int]
    evaluations: int
    first: datetime
    last: datetime

    @property
    def refused(self) -> int:
        """How often its update did not go on, or was not asked for."""
        return sum(self.counts[verdict] for verdict in REFUSED)

    @property
    def share_dropped(self) -> float | None:
        """The share of its updates that was dropped; None where it sent none."""
        sent = self.refused - self.counts["banned"] + self.counts["kept"]
        return self.counts["dropped"] / sent if sent else None


def histories_of(ledger: Ledger, names: Mapping[str, str]) -> list[History]:
    """Sum up each client, those that need attention first.

    Parameters
    ----------
    ledger
        What the logs say.
    names
        What to call clients, by id, before what Flower calls them.
    """
    labels = labels_of(
        {client: names.get(client) or name for client, name in ledger.names.items()}
    )
    counts, evaluations = _counted(ledger)
    first, last = _seen(ledger)
    histories = [
        History(
            place=place,
            client_id=client_id,
            label=label,
            counts=dict(zip(VERDICTS, map(int, counts[place]), strict=True)),
            evaluations=int(evaluations[place]),
            first=ledger.entries[first[place]].line.time,
            last=ledger.entries[last[place]].line.time,
        )
        for place, (client_id, label) in enumerate(labels.items())
    ]
    return sorted(
        histories,
        key=lambda each: (
            -each.counts["banned"],
            -each.refused,
            _naturally(each.label),
        ),
    )


def _counted(ledger: Ledger) -> tuple[np.ndarray, np.ndarray]:
    """Count verdicts in training, and quarantined answers to evaluations."""
    num_clients, num_verdicts = len(ledger.names), len(VERDICTS)
    trained = ledger.is_training
    cells = ledger.client.astype(np.int64) * num_verdicts + ledger.verdict
    counts = np.bincount(cells[trained], minlength=num_clients * num_verdicts)
    quarantined = ~trained & (ledger.verdict == VERDICTS.index("quarantined"))
    evaluations = np.bincount(ledger.client[quarantined], minlength=num_clients)
    return counts.reshape(num_clients, num_verdicts), evaluations


def _seen(ledger: Ledger) -> tuple[np.ndarray, np.ndarray]:
    """Find each client's first and last round."""
    first = np.full(len(ledger.names), len(ledger.entries))
    last = np.zeros(len(ledger.names), int)
    np.minimum.at(first, ledger.client, ledger.entry)
    np.maximum.at(last, ledger.client, ledger.entry)
    return first, last


def _naturally(name: str) -> tuple[tuple[int, str], ...]:
    """Sort numbers in names as numbers: hospital-9 comes before hospital-10."""
    parts = re.split("([0-9]+)", name)
    digits = [part.lstrip("0") if place % 2 else "" for place, part in enumerate(parts)]
    return tuple((len(d), d or part) for d, part in zip(digits, parts, strict=True))
