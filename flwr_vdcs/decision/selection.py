"""Scores to selection: how many clients to drop, and which."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

from flwr_vdcs.errors import NumMaliciousError
from flwr_vdcs.flower.replies import Update
from flwr_vdcs.report import DECIMALS, Decision

NumMalicious = int | float | Literal["auto"]

AUTO: Literal["auto"] = "auto"

HALF = 0.5

MIN_UPDATES = 3
"""Two updates agree with each other to the same degree: nobody can be singled out."""

ROUNDING = 1e-9
"""0.29 * 100 is 28.999999999999996 in floating point, and means 29."""


@dataclass(frozen=True)
class Selection:
    """Which of a round's updates go on.

    Attributes
    ----------
    decisions
        One for each update, in their order.
    num_malicious
        M in this round.
    skipped
        Why none goes on, or nothing.
    """

    decisions: tuple[Decision, ...]
    num_malicious: int
    skipped: str


def check_num_malicious(num_malicious: object) -> NumMalicious:
    """Return a valid ``num_malicious`` as a plain number or ``"auto"``.

    Raises
    ------
    NumMaliciousError
        If it is not an int >= 0, a float in [0, 0.5) or ``"auto"``.
    """
    if isinstance(num_malicious, str) and num_malicious == AUTO:
        return AUTO
    if isinstance(num_malicious, bool) or not isinstance(num_malicious, Real):
        raise NumMaliciousError(num_malicious)
    if isinstance(num_malicious, Integral):
        num_malicious = int(num_malicious)
        is_possible = num_malicious >= 0
    else:
        num_malicious = float(num_malicious)
        is_possible = 0 <= num_malicious < HALF
    if not is_possible:
        raise NumMaliciousError(num_malicious)
    return num_malicious


def is_protecting(num_malicious: NumMalicious) -> bool:
    """Tell whether any update may be dropped at all."""
    return num_malicious == AUTO or num_malicious > 0


def count_malicious(
    num_malicious: NumMalicious,
    scores: Collection[float],
    threshold: float | None,
    num_banned: int = 0,
) -> int:
    """Give M for one round.

    A fraction is of the scored updates, rounded down. ``"auto"`` counts the scores
    below the threshold, though never half of the updates or more. Clients that were
    not asked, as they are banned, are among the M malicious ones and are not dropped
    for again.
    """
    if num_malicious == AUTO:
        lowest_kept = -math.inf if threshold is None else threshold
        num_low = sum(score < lowest_kept for score in scores)
        return min(num_low, max(0, len(scores) - 1) // 2)
    if isinstance(num_malicious, int):
        return max(0, num_malicious - num_banned)
    num_expected = math.floor(num_malicious * (len(scores) + num_banned) + ROUNDING)
    return max(0, num_expected - num_banned)


def can_select(num_updates: int, num_to_drop: int) -> bool:
    """Tell whether at least two updates would agree after dropping the lowest."""
    return num_updates >= MIN_UPDATES and num_to_drop < num_updates - 1


def lowest(scores: Mapping[int, float], num_to_drop: int) -> frozenset[int]:
    """Find the updates with the lowest scores (Eq. 19); of equals, the earlier.

    What is beyond `flwr_vdcs.report.DECIMALS` is rounding.
    """
    order = sorted(scores, key=lambda place: round(scores[place], DECIMALS))
    return frozenset(order[:num_to_drop])


def decide(
    updates: Sequence[Update],
    refused: Mapping[int, str],
    scores: Mapping[int, float],
    num_malicious: int,
    *,
    skipped: str = "",
    reasons: Mapping[int, str] | None = None,
) -> tuple[Decision, ...]:
    """Give the decision on each update, in their order.

    Parameters
    ----------
    updates
        The updates of the round.
    refused
        Why some of them are quarantined, by their place.
    scores
        The scores of the others, by their place.
    num_malicious
        M, the number to drop.
    skipped
        Why none is to be aggregated, or nothing.
    reasons
        What there is to say of single updates, by their place.
    """
    low = lowest(scores, num_malicious)

    def decision(place: int, client_id: str) -> Decision:
        score = scores.get(place)
        if place in refused:
            return Decision(client_id, "quarantined", None, refused[place])
        if skipped:
            return Decision(client_id, "dropped", score, skipped)
        if place in low:
            reason = f"among the {num_malicious} lowest of {len(scores)} scores"
            why = reasons.get(place) if reasons else None
            reason = f"{reason}: {why}" if why else reason
            return Decision(client_id, "dropped", score, reason)
        return Decision(client_id, "kept", score)

    return tuple(decision(place, u.client_id) for place, u in enumerate(updates))
