"""Log to decisions: one row for each client in each round."""

from collections.abc import Mapping

import pandas as pd

from flwr_vdcs.cli.reporting.reading.log import Line, Log, LoggedRound

VERDICTS = ("kept", "idle", "dropped", "quarantined", "banned")
"""From the mildest to the severest."""

COLUMNS = (
    "round",
    "run",
    "server_round",
    "phase",
    "time",
    "client_id",
    "client",
    "verdict",
    "told",
    "score",
    "reason",
)


def decisions_of(log: Log, names: Mapping[str, str]) -> pd.DataFrame:
    """Lay out all decisions of a log, in its order.

    Returns
    -------
    DataFrame
        With `COLUMNS`: ``round`` is counted through over all runs, ``client`` is the
        name, or the id where there is none, ``told`` is the verdict in words, which say
        if it was only reported, ``score`` is NaN where there is none.
    """
    rows = [row for each in log.rounds for row in _rows(each, names)]
    decisions = pd.DataFrame.from_records(rows, columns=list(COLUMNS))
    return decisions.astype({"score": "float64"})


def training(decisions: pd.DataFrame) -> pd.DataFrame:
    """Leave out evaluations."""
    return decisions[decisions["phase"] == "train"]


def in_words_of(line: Line, verdict: str) -> str:
    """Write a verdict as what was done, or would have been."""
    is_conditional = line.report_only and verdict != "kept"
    return f"would have been {verdict}" if is_conditional else verdict


def _rows(each: LoggedRound, names: Mapping[str, str]) -> list[tuple[object, ...]]:
    line = each.line
    return [
        (
            each.number,
            each.run,
            line.server_round,
            line.phase,
            line.time,
            decision.client_id,
            names.get(decision.client_id, decision.client_id),
            decision.verdict,
            in_words_of(line, decision.verdict),
            decision.score,
            decision.reason,
        )
        for decision in line.decisions
    ]
