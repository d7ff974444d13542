"""Decisions to a grid: one cell for each client and round."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from flwr_vdcs.cli.reporting.reading.decisions import VERDICTS, training
from flwr_vdcs.cli.reporting.text import safe, shortened, wrapped, written


@dataclass(frozen=True)
class Grid:
    """What happened to whom and when, as rows of clients and columns of rounds.

    Attributes
    ----------
    clients : list of str
        Labels of the rows, in the order of the histories; safe as markup.
    rounds : list of str
        Labels of the columns.
    new_runs : list of int
        The columns in which the second and later runs begin.
    verdicts : array
        Places in `VERDICTS`, NaN where a client was not asked. Of several in one round
        the severest.
    scores : array
        Scores, NaN where there are none.
    hover : list of list of str
        What to say of each cell, in lines; safe as markup.
    """

    clients: list[str]
    rounds: list[str]
    new_runs: list[int]
    verdicts: np.ndarray
    scores: np.ndarray
    hover: list[list[str]]


def grid_of(decisions: pd.DataFrame, histories: pd.DataFrame) -> Grid:
    """Lay out the training rounds."""
    trained = training(decisions)
    cells = (
        trained.assign(
            verdict=trained["verdict"].map(VERDICTS.index),
            hover=[_hover(decision) for decision in trained.itertuples()],
        )
        .sort_values("verdict", kind="stable")
        .drop_duplicates(["client_id", "round"], keep="last")
        .pivot(index="client_id", columns="round")
        .reindex(histories.index)
    )
    runs = trained.groupby("round")["run"].first()
    return Grid(
        clients=[safe(shortened(client)) for client in histories["client"]],
        rounds=[str(number) for number in runs.index],
        new_runs=(np.flatnonzero(np.diff(runs)) + 1).tolist(),
        verdicts=cells["verdict"].to_numpy(np.float32),
        scores=cells["score"].to_numpy(np.float32),
        hover=cells["hover"].fillna("").to_numpy().tolist(),
    )


def _hover(decision: Any) -> str:
    again = f" (round {decision.server_round} of run {decision.run})"
    place = f"round {decision.round}{again if decision.run > 1 else ''}"
    lines = [
        f"{safe(decision.client)}, {place}",
        f"{decision.told}, {written(decision.score)}",
        wrapped(decision.reason),
    ]
    return "\n".join(line for line in lines if line)
