"""Histories to a headline: what needs attention first, in one sentence."""

from collections.abc import Sequence

import pandas as pd

from flwr_vdcs.cli.reporting.reading.history import NOT_KEPT
from flwr_vdcs.cli.reporting.text import shortened

MAX_NAMED = 3

STANDS_OUT = 0.5
"""Who was refused this share as often as the first is named too."""


def headline(
    num_rounds: int, histories: pd.DataFrame, *, report_only: bool = False
) -> str:
    """Say how much there was, and which clients were banned or dropped most.

    Parameters
    ----------
    num_rounds
        How many training rounds there were.
    histories
        What became of each client.
    report_only
        Whether it was only reported, in all rounds.
    """
    rounds, clients = plural(num_rounds, "round"), plural(len(histories), "client")
    most = histories["not_kept"].max()
    if most == 0:
        trained = " of a client that had trained" if histories["idle"].any() else ""
        return f"In {rounds} with {clients}, every update{trained} was kept."
    prominent = histories[histories["not_kept"] >= STANDS_OUT * most]
    would = "would have been " if report_only else ""
    names = [
        f"{shortened(client['client'])} ({would}{_worst(client)})"
        for _, client in prominent.head(MAX_NAMED).iterrows()
    ]
    more = len(prominent) - len(names)
    named = in_words([*names, f"{more} more"] if more else names)
    return f"In {rounds} with {clients}, look first at {named}."


def plural(count: int, noun: str) -> str:
    """Count in words."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def in_words(names: Sequence[str]) -> str:
    """Join names as a sentence does."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _worst(client: pd.Series) -> str:
    """Give the severest of what happened to a client, and how often."""
    verdict = next(verdict for verdict in reversed(NOT_KEPT) if client[verdict])
    return f"{verdict} in {client[verdict]:,}"
