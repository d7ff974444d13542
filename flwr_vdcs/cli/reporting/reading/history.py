"""Decisions to histories: what became of each client's updates over the rounds."""

import re

import pandas as pd

from flwr_vdcs.cli.reporting.reading.decisions import VERDICTS

NOT_KEPT = ["dropped", "quarantined", "banned"]
"""What calls for attention; a client that had nothing to train on does not."""


def histories_of(decisions: pd.DataFrame) -> pd.DataFrame:
    """Sum up each client, those that need attention first.

    Returns
    -------
    DataFrame
        One row for each client id: ``client``, its name; how often it was ``kept``,
        ``idle``, ``dropped``, ``quarantined`` and ``banned`` in training; ``not_kept``,
        the sum of the last three; ``share_dropped`` of its updates, NaN where it sent
        none;
        ``evaluations``, how often its answer to an evaluation was quarantined;
        ``first`` and ``last``, the times of its decisions.
    """
    table = (
        decisions.groupby("client_id")
        .agg(client=("client", "first"), first=("time", "min"), last=("time", "max"))
        .join(_counts(decisions))
    )
    table["not_kept"] = table[NOT_KEPT].sum(axis=1)
    num_updates = table["not_kept"] - table["banned"] + table["kept"]
    table["share_dropped"] = table["dropped"] / num_updates.where(num_updates > 0)
    return table.sort_values(
        ["banned", "not_kept", "client"],
        ascending=[False, False, True],
        key=lambda column: (
            column.map(_naturally) if column.name == "client" else column
        ),
    )


def _counts(decisions: pd.DataFrame) -> pd.DataFrame:
    """Count verdicts in training, and quarantined answers to evaluations."""
    is_training = decisions["phase"] == "train"
    verdicts = decisions["verdict"]
    columns = {verdict: is_training & (verdicts == verdict) for verdict in VERDICTS}
    columns["evaluations"] = ~is_training & (verdicts == "quarantined")
    return pd.DataFrame(columns).groupby(decisions["client_id"]).sum()


def _naturally(name: str) -> tuple[tuple[int, str], ...]:
    """Sort numbers in names as numbers: hospital-9 comes before hospital-10."""
    parts = re.split("([0-9]+)", name)
    digits = [part.lstrip("0") if place % 2 else "" for place, part in enumerate(parts)]
    return tuple((len(d), d or part) for d, part in zip(digits, parts, strict=True))
