"""Histories to a headline: what needs attention first, in one sentence."""

from collections.abc import Sequence

from flwr_vdcs.cli.reading.line import REFUSED
from flwr_vdcs.cli.reporting.histories import History
from flwr_vdcs.cli.reporting.words.text import in_words, plural

MAX_NAMED = 3

STANDS_OUT = 0.5
"""Who was refused this share as often as the first is named too."""


def headline(
    num_rounds: int, histories: Sequence[History], *, report_only: bool = False
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
    most = max(each.refused for each in histories)
    if most == 0:
        is_any_idle = any(each.counts["idle"] for each in histories)
        trained = " of a client that had trained" if is_any_idle else ""
        return f"In {rounds} with {clients}, every update{trained} was kept."
    prominent = [each for each in histories if each.refused >= STANDS_OUT * most]
    would = "would have been " if report_only else ""
    names = [f"{each.label} ({would}{_worst(each)})" for each in prominent[:MAX_NAMED]]
    more = len(prominent) - len(names)
    named = in_words([*names, f"{more} more"] if more else names)
    return f"In {rounds} with {clients}, look first at {named}."


def _worst(history: History) -> str:
    """Give the severest of what happened to a client, and how often."""
    verdict = next(each for each in reversed(REFUSED) if history.counts[each])
    return f"{verdict} in {history.counts[verdict]:,}"
